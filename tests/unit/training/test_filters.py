"""The filter's rule: each reason on its own, their order, and the ranking."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.config import FilterConfig
from training.filters import (
    INPUT_SCHEMA,
    REASONS,
    filter_trajectories,
    signature_of,
)

REWARD_SCHEMA = pa.schema(
    {"trajectory_id": pa.string(), "format": pa.float64(), "answer": pa.float64()}
    | {"total": pa.float64()}
)


def row(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "trajectory_id": name,
        "question_id": "q" + name,
        "stop_reason": "answer",
        "format_ok": True,
        "num_tool_calls": 2,
        "num_tokens": 100,
        "action_signature": f"search:{name}",
        "format": 1.0,
        "answer": 1.0,
        "total": 1.0,
    } | changes


def judge(rows: list[dict[str, Any]], config: FilterConfig) -> dict[str, tuple[str, int | None]]:
    trajectories = pa.Table.from_pylist(
        [{name: r[name] for name in INPUT_SCHEMA.names} for r in rows], schema=INPUT_SCHEMA
    )
    rewards = pa.Table.from_pylist(
        [{name: r[name] for name in REWARD_SCHEMA.names} for r in rows], schema=REWARD_SCHEMA
    )
    verdicts = filter_trajectories(trajectories, rewards, config).to_pylist()
    assert all(v["kept"] == (v["reason"] == "kept") for v in verdicts)
    return {v["trajectory_id"]: (v["reason"], v["rank"]) for v in verdicts}


def test_each_failure_has_its_reason_and_the_first_one_counts() -> None:
    verdicts = judge(
        [
            row("deadline", stop_reason="deadline", format_ok=False),
            row("unrewarded", total=None),
            row("malformed", format_ok=False, format=0.0, answer=0.0),
            row("wrong", answer=0.0, num_tool_calls=0),
            row("memory", num_tool_calls=0),
            row("good"),
        ],
        FilterConfig(),
    )
    assert verdicts == {
        "deadline": ("infrastructure", None),
        "unrewarded": ("infrastructure", None),
        "malformed": ("malformed", None),
        "wrong": ("incorrect", None),
        "memory": ("too_few_tool_calls", None),
        "good": ("kept", 1),
    }


def test_top_k_takes_most_tool_calls_then_fewest_tokens() -> None:
    verdicts = judge(
        [
            row("a", num_tool_calls=1),
            row("b", num_tool_calls=3, num_tokens=300),
            row("c", num_tool_calls=3, num_tokens=200),
            row("d", num_tool_calls=2),
        ],
        FilterConfig(top_k=2),
    )
    assert verdicts == {
        "c": ("kept", 1),
        "b": ("kept", 2),
        "d": ("below_top_k", 3),
        "a": ("below_top_k", 4),
    }


def test_the_cap_counts_per_question_and_frees_places_in_the_top_k() -> None:
    rows = [row(f"x{i}", question_id="x", num_tool_calls=5 - i) for i in range(3)]
    verdicts = judge([*rows, row("y")], FilterConfig(max_per_question=1, top_k=2))
    assert verdicts["x0"] == ("kept", 1)
    assert verdicts["x1"] == verdicts["x2"] == ("over_question_cap", None)
    assert verdicts["y"] == ("kept", 2)


def test_near_duplicates_fall_within_one_question_only() -> None:
    rows = [
        row("a", question_id="q", action_signature="search:lyon search:country"),
        row("b", question_id="q", action_signature="search:country search:lyon search:lyon"),
        row("c", question_id="q", action_signature="search:lyon search:mayor"),
        row("d", question_id="r", action_signature="search:lyon search:country"),
    ]
    exact = judge(rows, FilterConfig(near_duplicate_similarity=1.0))
    assert [name for name, (reason, _) in exact.items() if reason == "near_duplicate"] == ["b"]
    # a and c share one of three words.
    loose = judge(rows, FilterConfig(near_duplicate_similarity=0.3))
    assert [name for name, (reason, _) in loose.items() if reason == "kept"] == ["a", "d"]


def test_the_rule_can_be_opened() -> None:
    rows = [row("wrong", answer=0.0), row("malformed", format_ok=False, format=0.0)]
    config = FilterConfig(require_correct=False, require_format=False, top_k=None)
    assert {reason for reason, _ in judge(rows, config).values()} == {"kept"}
    assert judge([row("f1", answer=0.6)], FilterConfig(min_answer_reward=0.5))["f1"][0] == "kept"


def test_input_errors_are_told() -> None:
    good = pa.Table.from_pylist([row("a")])
    with pytest.raises(ValueError, match="trajectories lacks the column"):
        filter_trajectories(good.drop_columns(["num_tokens"]), good, FilterConfig())
    with pytest.raises(ValueError, match="occurs more than once in trajectories"):
        filter_trajectories(pa.concat_tables([good, good]), good, FilterConfig())


def test_no_trajectories_give_no_verdicts() -> None:
    assert judge([], FilterConfig()) == {}


def test_signature_tells_actions_apart_and_ignores_case_and_punctuation() -> None:
    calls = [
        ("search", '{"query":["Lyon, country"]}'),
        ("visit", '{"goal":"the currency","url":"http://wiki.local/Lyon"}'),
        ("answer", "Euro"),
    ]
    words = signature_of(calls).split()
    assert words[:2] == ["search:lyon", "search:country"]
    assert {"visit:lyon", "visit:currency", "answer:euro"} <= set(words)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 4), st.booleans(), st.booleans(),
            st.sampled_from(["a", "a b", "b c", "d"]),
        ),
        max_size=12,
    ),
    st.one_of(st.none(), st.integers(1, 4)),
    st.one_of(st.none(), st.integers(1, 2)),
    st.one_of(st.none(), st.floats(0.3, 1.0)),
)  # fmt: skip
def test_every_trajectory_gets_one_verdict_and_the_limits_hold(
    drawn: list[tuple[int, int, bool, bool, str]],
    top_k: int | None,
    cap: int | None,
    similarity: float | None,
) -> None:
    rows = [
        row(f"t{i}", question_id=f"q{q}", num_tool_calls=calls, format_ok=ok, answer=float(right),
            action_signature=signature)
        for i, (q, calls, ok, right, signature) in enumerate(drawn)
    ]  # fmt: skip
    config = FilterConfig(
        top_k=top_k, max_per_question=cap, near_duplicate_similarity=similarity, min_tool_calls=0
    )
    verdicts = judge(rows, config)
    assert set(verdicts) == {r["trajectory_id"] for r in rows}
    assert {reason for reason, _ in verdicts.values()} <= set(REASONS)
    kept = [r for r in rows if verdicts[r["trajectory_id"]][0] == "kept"]
    assert all(r["format_ok"] and r["answer"] == 1.0 for r in kept)
    assert top_k is None or len(kept) <= top_k
    for question in {r["question_id"] for r in kept}:
        assert cap is None or sum(r["question_id"] == question for r in kept) <= cap
    ranks = sorted(rank for _, rank in verdicts.values() if rank is not None)
    assert ranks == list(range(1, len(ranks) + 1))
