"""Benchmarks are summarised by hand-checkable means; unknown ones are refused."""

import pytest

from agents.errors import UsageError
from agents.trajectory import Question
from evaluation.benchmarks import (
    IN_DOMAIN,
    OUT_OF_DOMAIN,
    BenchmarkConfig,
    BenchmarkScore,
    average_accuracy,
    select_questions,
    summarise,
)
from evaluation.scoring import AnswerScore
from evaluation.statistics import wilson_interval

BENCHMARKS = {
    name: tuple(Question(f"{name}-{i}", "?", ("x",)) for i in range(5)) for name in ("a", "b")
}


def test_there_are_four_in_domain_and_three_out_of_domain():
    assert (len(set(IN_DOMAIN)), len(set(OUT_OF_DOMAIN))) == (4, 3)
    assert not set(IN_DOMAIN) & set(OUT_OF_DOMAIN)


def test_means_and_interval():
    answers = [AnswerScore(1, 1, 1), AnswerScore(0, 0.5, 1), AnswerScore(0, 0, 0)]
    score = summarise(answers)
    assert (score.num_questions, score.em, score.f1) == (3, pytest.approx(1 / 3), 0.5)
    assert score.accuracy == pytest.approx(2 / 3)
    assert (score.ci_low, score.ci_high) == wilson_interval(2, 3)
    assert summarise(answers, confidence=0.5).ci_low > score.ci_low


def test_nothing_scored_is_no_score_of_zero_for_sure():
    assert summarise([]) == BenchmarkScore(0, 0.0, 0.0, 0.0, 0.0, 1.0)


def test_the_average_is_unweighted():
    scores = {
        "a": summarise([AnswerScore(1, 1, 1)]),
        "b": summarise([AnswerScore(0, 0, 0)] * 9),
    }
    assert average_accuracy(scores) == 0.5
    assert average_accuracy({}) == 0.0


def test_selection_takes_the_first_questions_of_the_named_benchmarks():
    chosen = select_questions(BENCHMARKS, BenchmarkConfig(names=("b",), num_questions=2))
    assert chosen == {"b": BENCHMARKS["b"][:2]}
    every = select_questions(BENCHMARKS, BenchmarkConfig(num_questions=0))
    assert every == BENCHMARKS


def test_an_unknown_benchmark_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'c'.*a, b"):
        select_questions(BENCHMARKS, BenchmarkConfig(names=("c",)))
