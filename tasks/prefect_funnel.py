"""What a filter left of its trajectories, as an artifact: a table and a chart of the funnel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.markdown_text import table
from tasks.prefect_artifacts import bar, chart, percent, subject_of
from tasks.prefect_publishing import artifact_key, publish_markdown, publish_table
from tasks.references import resolve
from training.filters import REASONS

_KEPT = "kept"
_WORDS = {
    "infrastructure": "infrastructure failed",
    "malformed": "malformed",
    "incorrect": "wrong answer",
    "too_few_tool_calls": "too few tool calls",
    "near_duplicate": "near duplicate",
    "over_question_cap": "too many of a question",
    "below_top_k": "below the top k",
}


def publish_funnel(config: StageConfig, context: StageContext, verdicts: str) -> None:
    """Publishes how many trajectories passed which test of the filter."""
    store = ArtifactStore.open(config.store)
    reasons = store.read_table(resolve(store, "verdicts", verdicts)).column("reason")
    counted = {row["values"].as_py(): row["counts"].as_py() for row in pc.value_counts(reasons)}
    steps = funnel(counted)
    description = f"{context.run}: filter of {subject_of(context)}"
    publish_table(artifact_key("filter", context.run), steps, description)
    publish_markdown(artifact_key("funnel", context.run), funnel_chart(steps), description)


def funnel(counted: Mapping[str, int]) -> list[dict[str, Any]]:
    """The tests of the filter in their order, each with what it dropped and what it left.

    Args:
        counted: Trajectories by the reason of their verdict.

    Returns:
        Rows `test`, `dropped`, `left` and `share`; tests that dropped nothing are left out.
    """
    left = total = sum(counted.values())
    rows: list[dict[str, Any]] = [{"test": "sampled", "dropped": 0, "left": total, "share": ""}]
    for reason in [*REASONS, *(other for other in counted if other not in REASONS)]:
        dropped = counted.get(reason, 0)
        if reason == _KEPT or not dropped:
            continue
        left -= dropped
        name = _WORDS.get(reason, reason)
        rows.append({"test": name, "dropped": dropped, "left": left, "share": ""})
    return [{**row, "share": percent(row["left"] / total if total else None)} for row in rows]


def funnel_chart(steps: list[dict[str, Any]]) -> str:
    """The funnel as Markdown: trajectories left after each test."""
    total = steps[0]["left"]
    bars = {row["test"]: float(row["left"]) for row in steps}
    top = float(max(10, -(-total // 10) * 10))
    drawn = chart(bars, "trajectories left after it", top=top, horizontal=True)
    kept = f"{steps[-1]['left']:,} of {total:,} trajectories became training examples."
    rows = [{**row, "": bar(row["left"] / total if total else 0.0)} for row in steps]
    return "\n\n".join(["## What the filter left", kept, drawn, table(rows)])
