"""The held-out benchmarks: the embedded ones' names, which questions are asked, and how.

Four families are in-domain (training has the same kinds of chains, from other entities), three
are out-of-domain. `docs/questions.md` describes each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from agents.configuration import Config
from agents.errors import UsageError
from agents.trajectory import Question
from evaluation.judging.config import JudgeConfig
from evaluation.scoring import Normalisation
from evaluation.summaries import BenchmarkScore, headline

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
    num_attempts: Annotated[int, Field(ge=1)] = 1
    """How often each question is asked; a question's score is the mean of its attempts. More than
    one need a temperature above 0."""
    pass_k: Annotated[int, Field(ge=0)] = 0
    """k of pass@k and cons@k, at most `num_attempts`; 0: `num_attempts`."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """Sampling temperature; 0 is greedy (WebDancer: 0.6)."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Nucleus mass to sample from; 1.0 switches it off (WebDancer: 0.95)."""
    normalisation: Normalisation = "squad"
    """Whose exact match and F1: `squad`, or `deepresearcher`, which keeps articles, makes
    punctuation spaces and compares sets of tokens."""
    judge: JudgeConfig = JudgeConfig()
    """Who says whether an answer is right, for `mbe`, pass@k and the gate."""
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    """Confidence level of intervals, and of calling a difference significant."""

    @model_validator(mode="after")
    def _attempts_can_differ(self) -> Self:
        if self.num_attempts > 1 and self.temperature == 0.0:
            raise ValueError(
                f"num_attempts is {self.num_attempts}, but temperature 0 makes all attempts alike: "
                "set benchmark.temperature, such as 0.6"
            )
        if self.pass_k > self.num_attempts:
            raise ValueError(
                f"pass_k is {self.pass_k}, but num_attempts {self.num_attempts}: pass@k needs at "
                "least k attempts"
            )
        return self

    @property
    def sampled_by(self) -> dict[str, Any]:
        """The settings that answers depend on, beside which questions are asked."""
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "num_attempts": self.num_attempts,
        }

    @property
    def scored_by(self) -> dict[str, Any]:
        """The settings that the scores of given answers depend on."""
        return {
            "normalisation": self.normalisation,
            "judge": self.judge.that_matters,
            "confidence": self.confidence,
            "k": k_of(self),
        }


def k_of(config: BenchmarkConfig) -> int:
    """Of how many attempts pass@k and cons@k speak."""
    return config.pass_k or config.num_attempts


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


def average_accuracy(scores: Mapping[str, BenchmarkScore]) -> float:
    """Unweighted mean of the benchmarks' accuracy by the judge, 0 without any benchmark."""
    return fmean(headline(asdict(score)) or 0.0 for score in scores.values()) if scores else 0.0
