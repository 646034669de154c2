"""How much of each benchmark the training questions give away, as numbers and as examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.trajectory import Question
from evaluation.contamination.overlap import (
    SIMILARITY,
    Fact,
    Kind,
    Overlap,
    facts_of,
    find_overlaps,
)


@dataclass(frozen=True, slots=True)
class BenchmarkOverlap:
    """How much of one benchmark is among the training questions.

    Attributes:
        num_questions: Questions of the benchmark.
        exact: Those that are a training question to the letter.
        normalised: Of the others, those with the same words as one.
        same_chain: Of the others, those whose chain of facts is part of one's.
        near: Of the others, those that are nearly worded like one.
        same_answer: Those of all four that share a right answer with it.
        facts_seen: Questions whose every fact is needed by some training question, which is no
            overlap by itself; those of the four may be among them.
    """

    num_questions: int
    exact: int
    normalised: int
    same_chain: int
    near: int
    same_answer: int
    facts_seen: int

    @property
    def num_overlapping(self) -> int:
        """Questions that are among the training questions in one of the four ways."""
        return self.exact + self.normalised + self.same_chain + self.near


@dataclass(frozen=True, slots=True)
class ContaminationReport:
    """What of the benchmarks is among the training questions.

    Attributes:
        num_train: Training questions.
        similarity: Least similarity of two questions that are nearly the same.
        benchmarks: Numbers by benchmark, in the order given.
        overlaps: Every test question that is among the training questions, the strongest first.
    """

    num_train: int
    similarity: float
    benchmarks: Mapping[str, BenchmarkOverlap]
    overlaps: tuple[Overlap, ...]


def report_contamination(
    train: Sequence[Question], test: Sequence[Question], similarity: float = SIMILARITY
) -> ContaminationReport:
    """Compares benchmarks with training questions.

    Args:
        train: Training questions.
        test: Test questions; each one's split names its benchmark.
        similarity: Least similarity of two questions that are nearly the same.
    """
    overlaps = find_overlaps(train, test, similarity)
    seen = facts_of(train)
    strength = list(Kind).index
    return ContaminationReport(
        num_train=len(train),
        similarity=similarity,
        benchmarks={
            name: _count(
                [question for question in test if question.split == name],
                [overlap for overlap in overlaps if overlap.test.split == name],
                seen,
            )
            for name in dict.fromkeys(question.split for question in test)
        },
        overlaps=tuple(sorted(overlaps, key=lambda each: (strength(each.kind), -each.similarity))),
    )


def _count(
    questions: Sequence[Question], overlaps: Sequence[Overlap], seen: frozenset[Fact]
) -> BenchmarkOverlap:
    kinds = Counter(overlap.kind for overlap in overlaps)
    needed = [facts_of([question]) for question in questions]
    return BenchmarkOverlap(
        num_questions=len(questions),
        exact=kinds[Kind.EXACT],
        normalised=kinds[Kind.NORMALISED],
        same_chain=kinds[Kind.SAME_CHAIN],
        near=kinds[Kind.NEAR],
        same_answer=sum(overlap.same_answer for overlap in overlaps),
        facts_seen=sum(bool(facts) and facts <= seen for facts in needed),
    )
