"""What a judge is given and what it says: items, marks, and the protocol of all judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

RULES = "rules"
"""Identity of every mark that a rule gave."""


class Grade(StrEnum):
    """What a judge says about an answer."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    NOT_ATTEMPTED = "not_attempted"
    """There is no answer, or one that gives up: wrong, but not a false claim (SimpleQA)."""
    UNJUDGED = "unjudged"
    """The judge failed; nothing is known about the answer."""


@dataclass(frozen=True, slots=True)
class JudgeItem:
    """An answer to be judged.

    Attributes:
        question_id: Id of the question, for the caller.
        question: Its text.
        answers: Right answers, aliases included; any of them counts.
        predicted: The answer; None where there was none.
    """

    question_id: str
    question: str
    answers: tuple[str, ...]
    predicted: str | None


@dataclass(frozen=True, slots=True)
class Mark:
    """What a judge said about one answer.

    Attributes:
        grade: The grade.
        reason: Why, in a line or two; of an unjudged answer, what went wrong.
        judge: Identity of who said so: model and prompt, or `rules` where a rule sufficed.
        cached: Whether it was said before, so that nothing was asked or paid now.
        tokens: Tokens in and out of the verdict, as the API counted them when it was asked.
        cost: What it cost then.
    """

    grade: Grade
    reason: str
    judge: str
    cached: bool = False
    tokens: int = 0
    cost: float = 0.0

    @property
    def correct(self) -> bool | None:
        """Whether the answer is right; None where it is unjudged, which is not wrong."""
        return None if self.grade is Grade.UNJUDGED else self.grade is Grade.CORRECT


class Judge(Protocol):
    """Says whether answers are right."""

    @property
    def identity(self) -> str:
        """Names all that its verdicts depend on beside the item."""
        ...

    def mark(self, items: Sequence[JudgeItem]) -> list[Mark]:
        """Judges answers.

        Args:
            items: The answers, in any order; equal ones are judged once.

        Returns:
            A mark an item, in their order.

        Raises:
            BudgetError: The judge's budget is spent; what was judged so far is in its cache.
            ValueError: An item has no right answers.
        """
        ...

    def close(self) -> None:
        """Ends its connections."""
        ...


class VerdictCache(Protocol):
    """Where a judge keeps verdicts and finds them again: texts by key, never changed."""

    def get_many(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The verdicts that are there, by key."""
        ...

    def put(self, key: str, verdict: str) -> None:
        """Keeps a verdict, unless there is one; called from several threads."""
        ...
