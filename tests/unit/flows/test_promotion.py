"""What becomes of a candidate: promoted, rolled back, or promoted against the gate."""

from __future__ import annotations

import pytest

from agents.errors import UsageError
from evaluation.gate import GateDecision
from flows.promotion import IterationResult, Standing, advance, forced_iterations

START = Standing(questions="questions", base="base", current="cold", best="cold", cold_start="c")


def result(candidate: str, promoted: bool, rule: str = "no_regression") -> IterationResult:
    return IterationResult(
        candidate=candidate,
        decision=GateDecision(promoted, "as it is", rule),
        compared_with="",
        benchmarks="scores",
        rl_trajectories=f"rollouts of {candidate}",
    )


def policies(standing: Standing) -> tuple[str, str, int]:
    return standing.current, standing.best, standing.failures


def test_a_promoted_candidate_is_gone_on_from_and_is_the_one_to_beat():
    after = advance(START, result("one", True), forced=False)
    assert policies(after) == ("one", "one", 0)
    assert after.rl_trajectories == "rollouts of one"
    assert (after.questions, after.base, after.cold_start) == ("questions", "base", "c")


def test_a_failing_candidate_is_rolled_back_to_the_best():
    better = advance(START, result("one", True), forced=False)
    failed = advance(better, result("two", False), forced=False)
    assert policies(failed) == ("one", "one", 1)
    assert policies(advance(failed, result("three", False), forced=False)) == ("one", "one", 2)
    assert policies(advance(failed, result("three", True), forced=False)) == ("three", "three", 0)


def test_a_forced_candidate_is_gone_on_from_but_does_not_lower_the_bar():
    forced = advance(START, result("worse", False), forced=True)
    assert policies(forced) == ("worse", "cold", 0)
    assert policies(advance(forced, result("next", False), forced=False)) == ("cold", "cold", 1)
    assert policies(advance(forced, result("next", True), forced=False)) == ("next", "next", 0)


def test_an_iteration_that_changed_nothing_leaves_a_forced_policy_in_place():
    forced = advance(START, result("worse", False), forced=True)
    idle = advance(forced, result("worse", False, rule=""), forced=False)
    assert policies(idle) == ("worse", "cold", 1)


def test_iterations_to_force_are_those_of_the_run():
    assert forced_iterations("all", 3) == (1, 2, 3)
    assert forced_iterations([3, 1, 3], 3) == (1, 3)
    assert forced_iterations((), 3) == ()
    with pytest.raises(UsageError, match=r"--force-promote 4: expected an iteration .* 1 to 3"):
        forced_iterations([4], 3)
    with pytest.raises(UsageError, match="--force-promote 1: this run has no iterations"):
        forced_iterations([1], 0)
