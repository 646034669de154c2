"""The seven held-out benchmarks: their names, which questions are asked, and their scores.

Four families are in-domain (training has the same kinds of chains, from other entities), three
are out-of-domain. `docs/questions.md` describes each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from agents.configuration import Config
from agents.errors import UsageError
from agents.trajectory import Question
from evaluation.scoring import AnswerScore
from evaluation.statistics import wilson_interval

IN_DOMAIN = ("city_country", "airport_city", "described_country", "capital_bridge")
OUT_OF_DOMAIN = ("unseen_relation", "unseen_kind", "more_hops")


class BenchmarkConfig(Config):
    """Which questions the benchmarks ask, and how."""

    names: tuple[str, ...] = ()
    """Benchmarks to run, by name; empty runs all that the question set has."""
    file: str = ""
    """Questions to ask in place of the built benchmarks: a JSONL, JSON, CSV, TSV or Parquet file,
    the name of a known set (such as `simpleqa`), or `hub:OWNER/NAME[/CONFIG][@SPLIT]`; empty asks
    the built ones."""
    num_questions: Annotated[int, Field(ge=0)] = 64
    """Questions asked of each benchmark, its first ones; 0 asks all."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """Sampling temperature; 0 is greedy."""
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    """Confidence level of the interval of accuracy."""


@dataclass(frozen=True, slots=True)
class BenchmarkScore:
    """Scores of one policy on one benchmark; fractions from 0 to 1.

    Attributes:
        num_questions: Number of questions that were scored.
        em: Mean exact match.
        f1: Mean F1.
        accuracy: Mean rule-based accuracy.
        ci_low: Lower bound of accuracy's Wilson interval.
        ci_high: Upper bound of accuracy's Wilson interval.
    """

    num_questions: int
    em: float
    f1: float
    accuracy: float
    ci_low: float
    ci_high: float


def select_questions(
    benchmarks: Mapping[str, Sequence[Question]], config: BenchmarkConfig
) -> dict[str, tuple[Question, ...]]:
    """The questions to ask, by benchmark: the first ones of each, the same for every policy.

    Raises:
        UsageError: A configured name is not a benchmark.
    """
    names = config.names or tuple(benchmarks)
    for name in names:
        if name not in benchmarks:
            raise UsageError(f"unknown benchmark {name!r}: there are {', '.join(benchmarks)}")
    limit = config.num_questions or None
    return {name: tuple(benchmarks[name][:limit]) for name in names}


def summarise(answers: Sequence[AnswerScore], confidence: float = 0.95) -> BenchmarkScore:
    """Means over the scored answers of one benchmark.

    Rollouts that an infrastructure fault ended are not answers: the caller leaves them out, so
    that `num_questions` shows how many were scored. Without any, the interval is all of [0, 1].

    Args:
        answers: Scores of the answers.
        confidence: Confidence level of the interval of accuracy.
    """
    num_questions = len(answers)
    if num_questions == 0:
        return BenchmarkScore(0, 0.0, 0.0, 0.0, 0.0, 1.0)
    num_right = sum(answer.accuracy for answer in answers)
    ci_low, ci_high = wilson_interval(num_right, num_questions, confidence)
    return BenchmarkScore(
        num_questions=num_questions,
        em=sum(answer.em for answer in answers) / num_questions,
        f1=sum(answer.f1 for answer in answers) / num_questions,
        accuracy=num_right / num_questions,
        ci_low=ci_low,
        ci_high=ci_high,
    )


def average_accuracy(scores: Mapping[str, BenchmarkScore]) -> float:
    """Unweighted mean of the benchmarks' accuracy, 0 without any benchmark."""
    if not scores:
        return 0.0
    return sum(score.accuracy for score in scores.values()) / len(scores)
