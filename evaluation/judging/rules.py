"""The judge that needs no model: the normalised match of `evaluation.scoring`."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.judging.certain import gives_up
from evaluation.judging.marks import RULES, Grade, JudgeItem, Mark
from evaluation.scoring import score_answer


class RulesJudge:
    """Judges by rule: words with aliases, numbers and dates; lists and hedges are wrong."""

    @property
    def identity(self) -> str:
        """`rules`."""
        return RULES

    def mark(self, items: Sequence[JudgeItem]) -> list[Mark]:
        """Judges answers as `score_answer` scores their accuracy.

        Raises:
            ValueError: An item has no right answers.
        """
        return [_mark(item) for item in items]

    def close(self) -> None:
        """Does nothing: rules have no connections."""


def _mark(item: JudgeItem) -> Mark:
    score = score_answer(item.predicted, item.answers)
    text = (item.predicted or "").strip()
    if score.accuracy:
        return Mark(Grade.CORRECT, "it matches a right answer", RULES)
    if not text:
        return Mark(Grade.NOT_ATTEMPTED, "there is no answer", RULES)
    if gives_up(text):
        return Mark(Grade.NOT_ATTEMPTED, "it gives no answer", RULES)
    return Mark(Grade.INCORRECT, "it matches no right answer", RULES)
