"""Questions, trajectories and pages as table rows, and back.

Text that a policy made may hold lone surrogates (from an escape in the JSON of a tool call), which
no Parquet string can; they are written as `?`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from agents.snapshots import PageSnapshot
from agents.trajectory import Hop, PageReading, PageView, Question, StopReason, Trajectory, Turn

_HOP_FIELDS = ("subject", "relation", "value", "url")
_TURN_FIELDS = (
    "index",
    "text",
    "thought",
    "action",
    "arguments",
    "observation",
    "error",
    "num_prompt_tokens",
    "num_sampled_tokens",
    "generate_s",
    "tool_s",
)
_VIEW_FIELDS = ("turn", "tool", "query", "url", "page")
_READING_FIELDS = tuple(each.name for each in fields(PageReading))
_PAGE_FIELDS = ("page", "url", "title", "text_digest", "text", "fetched_at")
_TRAJECTORY_FIELDS = (
    "trajectory_id",
    "question_id",
    "rollout_index",
    "policy",
    "iteration",
    "source",
    "temperature",
    "num_prompt_tokens",
    "answer",
    "format_ok",
    "num_tool_calls",
    "error",
    "wall_s",
)


def question_row(question: Question) -> dict[str, Any]:
    """A question as a row of `questions`."""
    return {
        "question_id": question.question_id,
        "text": question.text,
        "answers": list(question.answers),
        "family": question.family,
        "split": question.split,
        "num_hops": question.num_hops,
        "start": question.start,
        "chain": [{name: getattr(hop, name) for name in _HOP_FIELDS} for hop in question.chain],
    }


def question_of(row: Mapping[str, Any]) -> Question:
    """The question that a row of `questions` holds."""
    return Question(
        question_id=row["question_id"],
        text=row["text"],
        answers=tuple(row["answers"]),
        family=row["family"],
        split=row["split"],
        num_hops=row["num_hops"],
        start=row["start"],
        chain=tuple(Hop(**{name: hop[name] for name in _HOP_FIELDS}) for hop in row["chain"]),
    )


def trajectory_row(trajectory: Trajectory) -> dict[str, Any]:
    """A trajectory as a row of `trajectories`."""
    row = {name: _storable(getattr(trajectory, name)) for name in _TRAJECTORY_FIELDS}
    return row | {
        "token_ids": list(trajectory.token_ids),
        "loss_mask": list(trajectory.loss_mask),
        "logprobs": list(trajectory.logprobs),
        "turns": [_turn_row(turn) for turn in trajectory.turns],
        "page_views": [
            {name: _storable(getattr(view, name)) for name in _VIEW_FIELDS}
            for view in trajectory.page_views
        ],
        "readings": [
            {name: _storable(getattr(reading, name)) for name in _READING_FIELDS}
            for reading in trajectory.readings
        ],
        "stop_reason": trajectory.stop_reason.value,
        "num_tokens": len(trajectory.token_ids),
        "num_sampled_tokens": sum(trajectory.loss_mask),
        "cost": trajectory.cost,
    }


def trajectory_of(row: Mapping[str, Any]) -> Trajectory:
    """The trajectory that a row of `trajectories` holds."""
    return Trajectory(
        **{name: row[name] for name in _TRAJECTORY_FIELDS},
        token_ids=tuple(row["token_ids"]),
        loss_mask=tuple(row["loss_mask"]),
        logprobs=tuple(row["logprobs"]),
        turns=tuple(
            Turn(**{name: turn[name] for name in _TURN_FIELDS}, urls=tuple(turn["urls"]))
            for turn in row["turns"]
        ),
        page_views=tuple(
            PageView(**{name: view[name] for name in _VIEW_FIELDS})
            for view in row["page_views"] or ()
        ),
        readings=tuple(
            PageReading(**{name: reading[name] for name in _READING_FIELDS})
            for reading in row.get("readings") or ()
        ),
        stop_reason=StopReason(row["stop_reason"]),
        cost=row.get("cost") or 0.0,
    )


def page_row(snapshot: PageSnapshot) -> dict[str, Any]:
    """A snapshot of a page as a row of `pages`."""
    return {name: getattr(snapshot, name) for name in _PAGE_FIELDS}


def _turn_row(turn: Turn) -> dict[str, Any]:
    row = {name: _storable(getattr(turn, name)) for name in _TURN_FIELDS}
    return row | {"urls": [_storable(url) for url in turn.urls]}


def _storable(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
