"""Correctness: rules first, then evaluation's judge where they cannot tell."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.judging.marks import Grade, Judge, JudgeItem
from training.construction.formats.conversation import Conversation
from training.construction.funnel.config import FunnelConfig
from training.construction.funnel.stated import stated_answer
from training.construction.funnel.verdicts import (
    Check,
    Finding,
    Outcome,
    Reason,
    unclear,
)
from training.construction.funnel.wording import shortened


def check_answers(
    conversations: Sequence[Conversation], config: FunnelConfig, judge: Judge | None
) -> list[Finding]:
    """Judges the final answers, those that go to the judge all at once.

    Args:
        conversations: The conversations.
        config: What counts as a short answer.
        judge: Asked where rules cannot tell; None leaves that open.

    Returns:
        A finding a conversation, in their order.

    Raises:
        BudgetError: The judge's budget is spent; what it said is in its cache.
    """
    items = [
        JudgeItem(each.question_id, each.question, each.answers, each.final_answer)
        for each in conversations
    ]
    findings = [
        stated_answer(item, config.short_answer_words)
        if item.answers
        else unclear(Check.ANSWER, Reason.NO_GOLD, "no right answer is known")
        for item in items
    ]
    if judge is None:
        return findings
    left = [
        place
        for place, finding in enumerate(findings)
        if finding.outcome is Outcome.UNCLEAR and items[place].answers
    ]
    marks = judge.mark([items[place] for place in left])
    for place, mark in zip(left, marks, strict=True):
        why = shortened(mark.reason)
        if mark.grade is Grade.CORRECT:
            finding = Finding(Check.ANSWER, Outcome.PASS, None, why, judge=mark.judge)
        elif mark.grade is Grade.UNJUDGED:
            finding = Finding(Check.ANSWER, Outcome.UNCLEAR, Reason.UNJUDGED, why, judge=mark.judge)
        else:
            attempted = mark.grade is Grade.INCORRECT
            reason = Reason.WRONG if attempted else Reason.NOT_ATTEMPTED
            finding = Finding(Check.ANSWER, Outcome.FAIL, reason, why, judge=mark.judge)
        findings[place] = finding
    return findings
