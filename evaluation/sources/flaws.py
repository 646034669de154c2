"""What is wrong with a set of questions: counted and named, never repaired in silence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.trajectory import Question
from agents.web.facts.names import fold

LONG_GOLD_WORDS = 10
"""A right answer of more words is long: hardly any answer equals it."""

_YES_NO = frozenset({"yes", "no", "true", "false"})


@dataclass(frozen=True, slots=True)
class Flaws:
    """Flaws of one benchmark's questions, by their ids; a question may have several.

    Attributes:
        duplicates: Questions that are worded like an earlier one of the benchmark.
        long_golds: Questions whose right answers are all long: EM and F1 punish short answers.
        yes_no: Questions with a right answer that a coin would find half of the time.
        in_dev: Questions that are worded like one of the development set.
        longest_gold_words: Words of the longest right answer.
    """

    duplicates: tuple[str, ...]
    long_golds: tuple[str, ...]
    yes_no: tuple[str, ...]
    in_dev: tuple[str, ...]
    longest_gold_words: int


def find_flaws(questions: Sequence[Question], dev: Iterable[Question] = ()) -> Flaws:
    """Finds the flaws of one benchmark's questions.

    Questions are compared without case, accents and punctuation.

    Args:
        questions: All questions of the benchmark, in order.
        dev: Questions that may have been looked at before, as a development set's.
    """
    known = {fold(question.text) for question in dev}
    seen: set[str] = set()
    duplicates, in_dev = [], []
    for question in questions:
        wording = fold(question.text)
        if wording in seen:
            duplicates.append(question.question_id)
        if wording in known:
            in_dev.append(question.question_id)
        seen.add(wording)
    lengths = {q.question_id: [len(gold.split()) for gold in q.answers] for q in questions}
    return Flaws(
        duplicates=tuple(duplicates),
        long_golds=tuple(key for key, words in lengths.items() if min(words) > LONG_GOLD_WORDS),
        yes_no=tuple(
            q.question_id for q in questions if any(fold(gold) in _YES_NO for gold in q.answers)
        ),
        in_dev=tuple(in_dev),
        longest_gold_words=max((max(words) for words in lengths.values()), default=0),
    )
