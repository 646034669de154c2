"""The figures of a step's rollouts, each by hand."""

from __future__ import annotations

import dataclasses
from array import array

import pytest

from agents.trajectory import Question, StopReason, Trajectory, Turn
from training.rewards import Reward
from training.rollout_figures import repeated_share, rollout_figures
from training.rollout_groups import Group


def rollout(
    question: Question, index: int, tail: list[tuple[int, int]], searches: int = 0
) -> Trajectory:
    ids, mask = zip(*[(1, 0), *tail], strict=True)
    return Trajectory(
        f"{question.question_id}-{index}", question.question_id, index, "p", 1, "rl", 1.0,
        ids, mask, tuple(-0.5 * m for m in mask), 1,
        turns=tuple(Turn(at, "", "", "search", "{}") for at in range(searches)),
        stop_reason=StopReason.ANSWER, num_tool_calls=searches,
    )  # fmt: skip


def sampled(*tokens: int) -> list[tuple[int, int]]:
    return [(token, 1) for token in tokens]


ONE = Question("one", "?", ("x",), num_hops=1)
TWO = Question("two", "?", ("x",), num_hops=2)
UNKNOWN = Question("none", "?", ("x",))


def test_searches_are_counted_by_hops_where_these_are_known() -> None:
    groups = [
        Group(question, (rollout(question, 0, sampled(5), number),), (Reward(1.0, 1.0, 1.0),))
        for question, number in ((ONE, 1), (TWO, 2), (TWO, 4), (UNKNOWN, 9))
    ]
    figures = rollout_figures(groups)
    assert figures["searches_hops_1"] == 1.0
    assert figures["searches_hops_2"] == 3.0
    assert "searches_hops_0" not in figures
    assert figures["searches"] == figures["tool_calls"] == 4.0


def test_lengths_entropy_and_endings() -> None:
    short, long = rollout(ONE, 0, sampled(5, 6)), rollout(ONE, 1, [*sampled(5, 6, 7), (8, 0)])
    forced = dataclasses.replace(short, stop_reason=StopReason.FORCED_ANSWER)
    full = dataclasses.replace(rollout(TWO, 0, [(9, 0)] * 4), stop_reason=StopReason.CONTEXT_FULL)
    none, wrong = Reward(0.0, 0.0, None), Reward(1.0, 0.0, 0.4, overlong=-0.1)
    figures = rollout_figures(
        [Group(ONE, (short, long, forced), (wrong, none, wrong)), Group(TWO, (full,), (wrong,))]
    )
    assert figures["tokens"] == 3 + 5 + 3 + 5
    assert figures["trajectory_tokens"] == 4.0
    assert figures["trajectory_tokens_max"] == 5.0
    assert figures["sampled_tokens"] == 7 / 4
    assert figures["entropy"] == pytest.approx(0.5)
    assert figures["context_full_rate"] == figures["forced_rate"] == 0.25
    assert figures["too_long_questions"] == 1.0
    assert figures["infrastructure_rate"] == 0.25
    assert figures["overlong_mean"] == pytest.approx(-0.1)
    assert figures["right_rate"] == 0.0


def test_repetition_is_the_share_of_runs_of_ten_said_before() -> None:
    words = list(range(20, 32))
    # Twice twelve tokens in two turns: three runs in each, those of the second known.
    twice = rollout(ONE, 0, [*sampled(*words), (1, 0), *sampled(*words)])
    assert repeated_share(twice) == pytest.approx(0.5)
    assert repeated_share(rollout(ONE, 0, sampled(*words))) == 0.0
    assert repeated_share(rollout(ONE, 0, sampled(*[7] * 30))) == pytest.approx(20 / 21)
    # Runs do not cross an observation, and what others say does not count.
    assert repeated_share(rollout(ONE, 0, [*sampled(*words[:9]), (1, 0), (2, 0)])) is None
    quiet = rollout(ONE, 0, [(7, 0)] * 40)
    assert repeated_share(quiet) is None
    figures = rollout_figures(
        [Group(ONE, (twice, quiet), (Reward(1.0, 1.0, 1.0), Reward(1.0, 0.0, 0.5)))]
    )
    assert figures["repetition"] == pytest.approx(0.5)
    alone = rollout_figures([Group(ONE, (quiet,), (Reward(1.0, 1.0, 1.0),))])
    assert "repetition" not in alone


def test_what_the_store_gives_back_has_the_very_same_figures() -> None:
    """The store keeps log-probabilities in fp32."""
    made = dataclasses.replace(
        rollout(ONE, 0, sampled(*range(40))), logprobs=(0.0, *(-0.1 / n for n in range(1, 41)))
    )
    kept = dataclasses.replace(made, logprobs=tuple(array("f", made.logprobs)))
    assert kept.logprobs != made.logprobs
    score = (Reward(1.0, 1.0, 1.0),)
    assert rollout_figures([Group(ONE, (made,), score)]) == rollout_figures(
        [Group(ONE, (kept,), score)]
    )
