"""The filter from rollouts to SFT data, as one DuckDB query; every verdict has its reason.

EvolveSearch keeps rollouts that are correct and among the top k by number of tool calls. A cap
per question, a minimum of calls and the removal of near-duplicates are offered beside it. The
tests of a trajectory are made in a fixed order, and the first it fails is its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import duckdb
import pyarrow as pa

from agents.trajectory import StopReason
from training.config import FilterConfig

REASONS = (
    "infrastructure",
    "malformed",
    "incorrect",
    "too_few_tool_calls",
    "near_duplicate",
    "over_question_cap",
    "below_top_k",
    "kept",
)
"""Every reason a verdict can have, in the order in which they are tested."""

INPUT_SCHEMA = pa.schema(
    [
        pa.field("trajectory_id", pa.string(), nullable=False),
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("stop_reason", pa.string(), nullable=False),
        pa.field("format_ok", pa.bool_(), nullable=False),
        pa.field("num_tool_calls", pa.int64(), nullable=False),
        pa.field("num_tokens", pa.int64(), nullable=False),
        pa.field("action_signature", pa.string(), nullable=False),
    ]
)
"""The columns of trajectories that the filter reads; further columns are ignored."""

_UNIQUE_ACTIONS = """
    select * from ordered o
    where not exists (
        select 1 from ordered better
        where better.question_id = o.question_id and better.place < o.place
            and len(list_intersect(better.words, o.words)) >= $similarity * len(
                list_distinct(list_concat(better.words, o.words))))
"""

# Rank: most tool calls first (the paper), then fewest tokens, then the id, so that it is total.
_QUERY = """
with judged as (
    select t.trajectory_id, t.question_id, t.num_tool_calls, t.num_tokens, {words} as words,
        case
            when list_contains($infrastructure, t.stop_reason) or r.total is null
                then 'infrastructure'
            when $require_format and not (t.format_ok and r.format >= 1.0) then 'malformed'
            when $require_correct and r.answer < $min_answer_reward then 'incorrect'
            when t.num_tool_calls < $min_tool_calls then 'too_few_tool_calls'
        end as reason
    from trajectories t left join rewards r using (trajectory_id)
), ordered as (
    select *, row_number() over (
        order by num_tool_calls desc, num_tokens, trajectory_id) as place
    from judged where reason is null
), unique_actions as ({unique}
), capped as (
    select * from unique_actions
    qualify $max_per_question is null
        or row_number() over (partition by question_id order by place) <= $max_per_question
), ranked as (
    select trajectory_id, row_number() over (order by place) as rank from capped
)
select j.trajectory_id, j.question_id,
    coalesce(j.reason is null and k.rank <= coalesce($top_k, k.rank), false) as kept,
    case
        when j.reason is not null then j.reason
        when u.trajectory_id is null then 'near_duplicate'
        when k.trajectory_id is null then 'over_question_cap'
        when k.rank > $top_k then 'below_top_k'
        else 'kept'
    end as reason,
    k.rank
from judged j
    left join unique_actions u using (trajectory_id)
    left join ranked k using (trajectory_id)
order by j.trajectory_id
"""


def filter_trajectories(
    trajectories: pa.Table, rewards: pa.Table, config: FilterConfig
) -> pa.Table:
    """Judges every trajectory.

    Args:
        trajectories: Rows with the columns of `INPUT_SCHEMA`, one per trajectory.
        rewards: Columns trajectory_id, format, answer, total (null: infrastructure).
        config: The rule.

    Returns:
        One row per trajectory, ordered by id: trajectory_id, question_id, kept (bool), reason
        (one of `REASONS`), rank (int64, from 1 among those that passed every test of their own;
        null for others).

    Raises:
        ValueError: A column is missing, or an id occurs twice.
    """
    _require_columns("trajectories", trajectories, INPUT_SCHEMA.names)
    _require_columns("rewards", rewards, ["trajectory_id", "format", "answer", "total"])
    with duckdb.connect() as connection:
        connection.register("trajectories", trajectories)
        connection.register("rewards", rewards)
        for name in ("trajectories", "rewards"):
            doubled = connection.execute(
                f"select trajectory_id from {name} group by all having count(*) > 1 limit 1"  # noqa: S608
            ).fetchone()
            if doubled:
                raise ValueError(f"trajectory {doubled[0]} occurs more than once in {name}")
        parameters: dict[str, object] = {
            "infrastructure": [str(r) for r in StopReason if r.is_infrastructure],
            "require_format": config.require_format,
            "require_correct": config.require_correct,
            "min_answer_reward": config.min_answer_reward,
            "min_tool_calls": config.min_tool_calls,
            "max_per_question": config.max_per_question,
            "top_k": config.top_k,
        }
        if config.near_duplicate_similarity is None:
            query = _QUERY.format(words="null", unique="select * from ordered")
        else:
            parameters["similarity"] = config.near_duplicate_similarity
            words = "list_distinct(string_split(t.action_signature, ' '))"
            query = _QUERY.format(words=words, unique=_UNIQUE_ACTIONS)
        verdicts = connection.sql(query, params=parameters).to_arrow_table()
    return verdicts.cast(
        pa.schema(
            [
                pa.field("trajectory_id", pa.string()),
                pa.field("question_id", pa.string()),
                pa.field("kept", pa.bool_()),
                pa.field("reason", pa.string()),
                pa.field("rank", pa.int64()),
            ]
        )
    )


def signature_of(calls: Iterable[tuple[str, str]]) -> str:
    """Writes down actions as lower-case words, free of thoughts and punctuation.

    Trajectories with the same words in it searched for the same things; each word is marked with
    its action, so that a search for a page and a visit to it differ.

    Args:
        calls: Action and arguments of each turn.
    """
    words = []
    for action, arguments in calls:
        text = arguments
        if action in ("search", "visit"):
            text = " ".join(_strings(json.loads(text))) if text else ""
        words += [f"{action}:{word}" for word in re.findall(r"\w+", text.lower())]
    return " ".join(words)


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [str(value)]


def _require_columns(name: str, table: pa.Table, columns: Iterable[str]) -> None:
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise ValueError(f"{name} lacks the column(s) {', '.join(missing)}")
