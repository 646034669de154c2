"""Which test questions are also training questions, and how alike the two are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agents.trajectory import Hop, Question
from agents.web.facts.names import fold
from evaluation.contamination.minhash import near_pairs

SIMILARITY = 0.8
"""Jaccard similarity of shingles from which two questions count as nearly the same: one name of a
short question exchanged for another lies below it, a word left out or a typo above."""

Fact = tuple[str, str, str]


class Kind(StrEnum):
    """How a test question is like a training question; the strongest first."""

    EXACT = "exact"
    """The same text."""
    NORMALISED = "normalised"
    """The same words, but for case, accents, punctuation and spaces."""
    SAME_CHAIN = "same_chain"
    """The training question's chain has every fact of the test question's, however worded."""
    NEAR = "near"
    """Nearly the same text."""


_STRENGTH = {kind: rank for rank, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class Overlap:
    """A test question that is among the training questions, with the one most like it.

    Attributes:
        test: The test question.
        train: The training question that is most like it.
        kind: How alike they are.
        similarity: Jaccard similarity of the two; 1 unless `kind` is `near`.
        same_answer: Whether they share a right answer, but for case, accents and punctuation.
        num_train: How many training questions are like it, in whatever way.
    """

    test: Question
    train: Question
    kind: Kind
    similarity: float
    same_answer: bool
    num_train: int


def find_overlaps(
    train: Sequence[Question], test: Sequence[Question], similarity: float = SIMILARITY
) -> list[Overlap]:
    """Finds the test questions that are among the training questions.

    Args:
        train: Training questions, perhaps very many.
        test: Test questions.
        similarity: Least similarity of two questions that are nearly the same, above 0, at most 1.

    Returns:
        One for each test question that is like any, in the order of `test`.
    """
    found: dict[int, dict[int, tuple[Kind, float]]] = defaultdict(dict)
    for kind, pairs in (
        (Kind.EXACT, _equal([q.text for q in train], [q.text for q in test])),
        (Kind.NORMALISED, _equal(*(_folded(questions) for questions in (train, test)))),
        (Kind.SAME_CHAIN, _same_chains(train, test)),
    ):
        for first, second in pairs:
            found[second].setdefault(first, (kind, 1.0))
    for first, second, value in _near(train, test, similarity):
        found[second].setdefault(first, (Kind.NEAR, value))
    return [_strongest(train, test[index], found[index]) for index in sorted(found)]


def facts_of(questions: Iterable[Question]) -> frozenset[Fact]:
    """All facts of the questions' chains; unknown chains have none."""
    return frozenset(_fact(hop) for question in questions for hop in question.chain)


def _fact(hop: Hop) -> Fact:
    return fold(hop.subject), hop.relation, fold(hop.value)


def _folded(questions: Sequence[Question]) -> list[str]:
    return [fold(question.text) for question in questions]


def _equal(train: Sequence[str], test: Sequence[str]) -> Iterable[tuple[int, int]]:
    """Pairs of equal texts; texts without any letter or digit left are equal to none."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(train):
        places[text].append(index)
    for index, text in enumerate(test):
        for other in places.get(text, ()) if text else ():
            yield other, index


def _same_chains(train: Sequence[Question], test: Sequence[Question]) -> Iterable[tuple[int, int]]:
    needing: dict[Fact, set[int]] = defaultdict(set)
    for index, question in enumerate(train):
        for fact in facts_of([question]):
            needing[fact].add(index)
    for index, question in enumerate(test):
        facts = facts_of([question])
        if facts and facts <= needing.keys():
            for other in set.intersection(*(needing[fact] for fact in facts)):
                yield other, index


def _near(
    train: Sequence[Question], test: Sequence[Question], similarity: float
) -> Iterable[tuple[int, int, float]]:
    """Pairs that are nearly the same; each text is compared once, however often it stands."""
    first, second = (_places(_folded(questions)) for questions in (train, test))
    texts, others = list(first), list(second)
    for left, right, value in near_pairs(texts, others, similarity):
        for index in first[texts[left]]:
            for other in second[others[right]]:
                yield index, other, value


def _places(texts: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        if text:
            places[text].append(index)
    return places


def _strongest(
    train: Sequence[Question], test: Question, found: dict[int, tuple[Kind, float]]
) -> Overlap:
    answers = {fold(answer) for answer in test.answers}

    def rank(item: tuple[int, tuple[Kind, float]]) -> tuple[int, float, bool, int]:
        index, (kind, similarity) = item
        shares = bool(answers & {fold(answer) for answer in train[index].answers})
        return _STRENGTH[kind], -similarity, not shares, index

    best = min(found.items(), key=rank)
    index, (kind, similarity) = best
    return Overlap(
        test=test,
        train=train[index],
        kind=kind,
        similarity=similarity,
        same_answer=not rank(best)[2],
        num_train=len(found),
    )
