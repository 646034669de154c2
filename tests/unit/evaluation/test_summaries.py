"""Benchmarks are summarised by hand-checkable means over questions."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.statistics import wilson_interval
from evaluation.summaries import ScoredAnswer, break_down, summarise


def answer(question_id="q", right=1.0, correct=None, **others) -> ScoredAnswer:
    given = {"em": right, "f1": right, "accuracy": right, "correct": right} | others
    if correct is not None:
        given["correct"] = correct
    return ScoredAnswer(question_id, **given)


def test_means_and_interval_of_single_attempts():
    answers = [
        answer("a", num_tool_calls=2, num_tokens=100, seconds=1.0, cost=0.5),
        answer("b", em=0.0, f1=0.5, num_tool_calls=4, num_tokens=300, seconds=3.0),
        answer("c", right=0.0),
    ]
    score = summarise(answers)
    assert (score.num_questions, score.num_answers, score.unjudged) == (3, 3, 0)
    assert (score.em, score.f1) == (pytest.approx(1 / 3), 0.5)
    assert score.accuracy == score.mbe == score.pass_at_k == score.cons_at_k
    assert score.accuracy == pytest.approx(2 / 3)
    assert (score.ci_low, score.ci_high) == wilson_interval(2, 3)
    assert (score.mbe_low, score.mbe_high) == wilson_interval(2, 3)
    assert (score.tool_calls, score.seconds) == (2.0, pytest.approx(4 / 3))
    assert (score.tokens, score.cost) == (pytest.approx(400 / 3), pytest.approx(0.5 / 3))
    assert summarise(answers, confidence=0.5).ci_low > score.ci_low


def test_a_question_counts_once_however_often_it_was_asked():
    answers = [answer("a"), *[answer("b", right=0.0) for _ in range(3)]]
    score = summarise(answers)
    assert (score.num_questions, score.num_answers, score.accuracy) == (2, 4, 0.5)


def test_unjudged_answers_are_counted_and_neither_right_nor_wrong():
    answers = [
        answer("a"),
        ScoredAnswer("b", 0.0, 0.0, 0.0, None),
        answer("c", right=0.0),
        ScoredAnswer("d", 0.0, 0.0, 0.0, None),
    ]
    score = summarise(answers)
    assert (score.unjudged, score.mbe, score.accuracy) == (2, 0.5, 0.25)
    assert (score.mbe_low, score.mbe_high) == wilson_interval(1, 2)
    nothing = summarise([ScoredAnswer("b", 0.0, 0.0, 0.0, None)])
    assert (nothing.mbe, nothing.mbe_low, nothing.pass_at_k) == (None, None, None)


def test_nothing_scored_is_no_score_of_zero_for_sure():
    score = summarise([], failed=3)
    assert (score.num_questions, score.accuracy, score.failed) == (0, 0.0, 3)
    assert (score.ci_low, score.ci_high, score.mbe) == (0.0, 1.0, None)


def test_pass_and_cons_at_three_by_hand():
    # WebDancer's cons@3 is the share of three attempts that are right, pass@3 whether any is.
    groups = {"a": (1, 1, 0), "b": (0, 0, 0), "c": (1, 1, 1), "d": (0, 0, 1)}
    answers = [answer(name, right=float(mark)) for name, marks in groups.items() for mark in marks]
    score = summarise(answers, k=3)
    assert score.pass_at_k == pytest.approx(3 / 4)
    assert score.cons_at_k == pytest.approx((2 / 3 + 0 + 1 + 1 / 3) / 4)
    assert summarise(answers, k=1).pass_at_k == pytest.approx(score.cons_at_k)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=7), st.integers(1, 7))
def test_pass_at_k_is_the_mean_over_all_choices_of_k_attempts(marks, k):
    score = summarise([answer(right=mark) for mark in marks], k=k)
    if k > len(marks):
        assert score.pass_at_k is None
        return
    choices = list(combinations(marks, k))
    assert score.pass_at_k == pytest.approx(sum(map(max, choices)) / len(choices))


def test_breakdown_by_hops_and_type():
    answers = [
        answer("a", family="x", num_hops=2),
        answer("b", family="y", num_hops=2, right=0.0),
        answer("c", family="y", num_hops=3),
        answer("d", family="y"),
    ]
    parts = break_down(answers)
    hops = {name: (s.num_questions, s.accuracy) for name, s in parts["by_hops"].items()}
    assert hops == {"2": (2, 0.5), "3": (1, 1.0), "unknown": (1, 1.0)}
    assert {name: s.num_questions for name, s in parts["by_type"].items()} == {"x": 1, "y": 3}


def test_a_breakdown_into_one_part_is_left_out():
    assert break_down([answer("a"), answer("b")]) == {}
