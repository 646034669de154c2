"""Goal: whether the answer is of the kind that the question asks for."""

from __future__ import annotations

import re

from evaluation.judging.certain import gives_up
from training.construction.formats.conversation import Conversation
from training.construction.funnel.answer_facts import facts_of, numbers_in
from training.construction.funnel.question_kind import QuestionKind, kind_of
from training.construction.funnel.verdicts import (
    Check,
    Finding,
    Reason,
    failed,
    passed,
    unclear,
)
from training.construction.funnel.wording import shortened

_YEAR = re.compile(r"\b1\d{3}\b|\b20\d\d\b|\b\d{3,4}s?\b")
_NOT_FOUND = re.compile(
    r"\b(?:could ?n[o']t|was unable to|were unable to|cannot|can not|unable to|did not) "
    r"(?:be )?(?:find|found|determined?|verify|verified|locate|confirm|confirmed|answer)"
    r"|\b(?:is|are) (?:not (?:available|specified|known)|unavailable)"
    r"|\bno (?:specific )?information",
    re.IGNORECASE,
)


def check_goal(conversation: Conversation) -> Finding:
    """Compares question and answer by their words; the answer's first sentence counts."""
    answer = conversation.final_answer or ""
    if not answer or gives_up(answer):
        return failed(Check.GOAL, Reason.GIVES_UP, shortened(answer))
    kind = kind_of(conversation.question)
    facts = facts_of(answer, conversation.question)
    shown = f"{kind}: {shortened(facts.lead, 60)}"
    if _NOT_FOUND.search(facts.lead) and not facts.verdict:
        return unclear(Check.GOAL, Reason.GIVES_UP, shown)
    if kind is QuestionKind.YES_NO and not facts.verdict:
        return unclear(Check.GOAL, Reason.OTHER_KIND, shown)
    if kind is QuestionKind.COUNT and not numbers_in(facts.lead):
        # The number may come after a sentence that leads up to it.
        if numbers_in(answer):
            return unclear(Check.GOAL, Reason.OTHER_KIND, shown)
        return failed(Check.GOAL, Reason.OTHER_KIND, shown)
    if kind is QuestionKind.YEAR and not _YEAR.search(facts.lead):
        if _YEAR.search(answer):
            return unclear(Check.GOAL, Reason.OTHER_KIND, shown)
        return failed(Check.GOAL, Reason.OTHER_KIND, shown)
    if kind is QuestionKind.PERSON and not (facts.key or facts.others):
        return unclear(Check.GOAL, Reason.OTHER_KIND, shown)
    return passed(Check.GOAL, kind)
