"""Which questions benchmarks ask; unknown ones and pointless settings are refused."""

import pytest

from agents.errors import UsageError
from agents.trajectory import Question
from evaluation.benchmarks import (
    IN_DOMAIN,
    OUT_OF_DOMAIN,
    BenchmarkConfig,
    average_accuracy,
    k_of,
    select_questions,
)
from evaluation.summaries import ScoredAnswer, summarise

BENCHMARKS = {
    name: tuple(Question(f"{name}-{i}", "?", ("x",)) for i in range(5)) for name in ("a", "b")
}


def test_there_are_four_in_domain_and_three_out_of_domain():
    assert (len(set(IN_DOMAIN)), len(set(OUT_OF_DOMAIN))) == (4, 3)
    assert not set(IN_DOMAIN) & set(OUT_OF_DOMAIN)


def test_the_average_is_unweighted():
    scores = {
        "a": summarise([ScoredAnswer("q", 1.0, 1.0, 1.0, 1.0)]),
        "b": summarise([ScoredAnswer(f"q{i}", 0.0, 0.0, 0.0, 0.0) for i in range(9)]),
    }
    assert average_accuracy(scores) == 0.5
    assert average_accuracy({}) == 0.0
    judged = {"a": summarise([ScoredAnswer("q", 0.0, 0.0, 0.0, 1.0)])}
    assert average_accuracy(judged) == 1.0


def test_selection_takes_the_first_questions_of_the_named_benchmarks():
    chosen = select_questions(BENCHMARKS, BenchmarkConfig(names=("b",), num_questions=2))
    assert chosen == {"b": BENCHMARKS["b"][:2]}
    every = select_questions(BENCHMARKS, BenchmarkConfig(num_questions=0))
    assert every == BENCHMARKS


def test_an_unknown_benchmark_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'c'.*a, b"):
        select_questions(BENCHMARKS, BenchmarkConfig(names=("c",)))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"num_attempts": 3}, "temperature 0 makes all attempts alike"),
        ({"num_attempts": 3, "temperature": 0.6, "pass_k": 4}, "pass_k is 4, but num_attempts 3"),
    ],
)
def test_attempts_that_tell_nothing_are_refused(settings, problem):
    with pytest.raises(ValueError, match=problem):
        BenchmarkConfig(**settings)


def test_k_is_the_number_of_attempts_unless_said():
    assert k_of(BenchmarkConfig(num_attempts=4, temperature=0.6)) == 4
    assert k_of(BenchmarkConfig(num_attempts=4, temperature=0.6, pass_k=2)) == 2


def test_what_only_scores_depend_on_leaves_the_answers_alone():
    plain = BenchmarkConfig()
    other = BenchmarkConfig(
        normalisation="deepresearcher", confidence=0.9, judge={"kind": "api", "api": {"model": "m"}}
    )
    assert other.sampled_by == plain.sampled_by
    assert other.scored_by != plain.scored_by
    assert BenchmarkConfig(top_p=0.95).sampled_by != plain.sampled_by
