"""Scores of answers by a judge, asked in batches and remembered for the life of a stage."""

from __future__ import annotations

from collections.abc import Iterable

from agents.errors import StageError
from agents.failures import ALWAYS_BORNE
from agents.trajectory import Question
from evaluation.judging.marks import Judge, JudgeItem


class JudgedAnswers:
    """What a judge says about answers.

    Rewards are computed one by one, a judge is asked about many at once: so whoever has a batch
    shows it first.

    Args:
        judge: Says whether they are right.
        max_failed_share: Share of the answers that the judge may fail on, as of rollouts: what it
            judges is a selection otherwise.
    """

    def __init__(self, judge: Judge, max_failed_share: float = 1.0) -> None:
        self._judge = judge
        self._share = max_failed_share
        self._scores: dict[tuple[str, str], float | None] = {}

    def show(self, answers: Iterable[tuple[Question, str]]) -> None:
        """Asks about all answers that are not known, those that were left unjudged included.

        Raises:
            BudgetError: The judge's budget is spent.
            StageError: It failed on too many.
        """
        unknown = {
            (question.question_id, answer): question
            for question, answer in answers
            if self._scores.get((question.question_id, answer)) is None
        }
        items = [
            JudgeItem(question.question_id, question.text, question.answers, answer)
            for (_, answer), question in unknown.items()
        ]
        problem = ""
        for key, mark in zip(unknown, self._judge.mark(items), strict=True):
            self._scores[key] = None if mark.correct is None else float(mark.correct)
            problem = mark.reason if mark.correct is None else problem
        num_failed = sum(score is None for score in self._scores.values())
        if problem and num_failed > max(ALWAYS_BORNE, self._share * len(self._scores)):
            raise StageError(
                f"stopped: the judge failed on {num_failed} of {len(self._scores)} answers, more "
                f"than {self._share:.0%} (agents.max_failed_share); on the last: {problem}"
            )

    def score(self, question: Question, answer: str) -> float | None:
        """1.0 for a right answer, 0.0 for a wrong one, None where the judge failed.

        Raises:
            BudgetError: The judge's budget is spent.
            StageError: It failed on too many.
        """
        key = (question.question_id, answer)
        if key not in self._scores:
            self.show([(question, answer)])
        return self._scores[key]
