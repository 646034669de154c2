"""The rule for answers in sentences: right, wrong, or nothing that words alone can say.

`evaluation.scoring` takes an answer as it stands, which a sentence around the right words never
equals. Here the part of the first sentence that answers is looked for. Only two claims are made:
that the right answer is what is stated, and that another number or verdict is. All else is left
open, for a model to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evaluation.judging.marks import Grade, JudgeItem
from evaluation.judging.rules import RulesJudge
from evaluation.quantities import parse_quantity
from training.construction.funnel.answer_facts import facts_of, numbers_in, stressed_in
from training.construction.funnel.verdicts import (
    Check,
    Finding,
    Reason,
    failed,
    passed,
    unclear,
)
from training.construction.funnel.wording import (
    content_words,
    find_words,
    shortened,
    words_of,
)

_HEDGE = re.compile(
    r"\b(?:or|not|n't|either|neither|nor|rather than|instead of|maybe|perhaps|possibly|unlike)\b",
    re.IGNORECASE,
)
_WORDS_AROUND = 4
"""Words that may stand beside the right answer in a stressed part ("Sir", "River")."""


def stated_answer(item: JudgeItem, short_answer_words: int) -> Finding:
    """Judges an answer by what its first sentence states.

    Args:
        item: Question, right answers (at least one) and the answer.
        short_answer_words: Up to so many words the answer is taken as it stands.
    """
    [mark] = RulesJudge().mark([item])
    if mark.grade is Grade.CORRECT:
        return passed(Check.ANSWER, mark.reason)
    answer = item.predicted or ""
    if mark.grade is Grade.NOT_ATTEMPTED:
        return failed(Check.ANSWER, Reason.NOT_ATTEMPTED, mark.reason)
    if len(words_of(answer)) <= short_answer_words:
        return failed(Check.ANSWER, Reason.WRONG, shortened(answer))
    findings = [_against(answer, item.question, gold) for gold in item.answers]
    for finding in findings:
        if finding.reason is None:
            return finding
    # Wrong means that it is none of the right answers.
    for finding in findings:
        if finding.reason is Reason.NOT_SURE:
            return finding
    return findings[0]


def _against(answer: str, question: str, gold: str) -> Finding:
    facts = facts_of(answer, question)
    lead = facts.lead
    right = words_of(gold)
    if right and right[0] in ("yes", "no"):
        if not facts.verdict:
            return _open(f"no yes or no in: {shortened(lead, 50)}")
        if facts.verdict == right[0]:
            return passed(Check.ANSWER, f"it says {facts.verdict}")
        return failed(Check.ANSWER, Reason.WRONG, f"it says {facts.verdict}")
    value = _value(gold)
    if value is not None:
        return _number(lead, question, value)
    return _text(lead, question, right)


def _value(gold: str) -> str | None:
    """The value of a right answer that is one number, with a word or two beside it."""
    values = numbers_in(gold)
    words = words_of(gold)
    if len(values) != 1 or len(words) > 3 or parse_quantity(words[0]) is None:
        return None
    return next(iter(values))


def _number(lead: str, question: str, value: str) -> Finding:
    asked = numbers_in(question)
    stressed = set().union(*map(numbers_in, stressed_in(lead))) - asked
    stated = stressed or numbers_in(lead) - asked
    if stated == {value}:
        return passed(Check.ANSWER, f"it states {value}")
    if stressed and value not in numbers_in(lead):
        return failed(Check.ANSWER, Reason.WRONG, f"it states {', '.join(sorted(stressed))}")
    return _open(f"numbers {', '.join(sorted(stated)) or 'none'}")


def _text(lead: str, question: str, right: Sequence[str]) -> Finding:
    wanted = content_words(right)
    if not wanted or find_words(wanted, content_words(words_of(question))) is not None:
        return _open("the question names it")
    stressed = [part for part in stressed_in(lead) if _is_new(part, question)]
    if stressed:
        part = stressed[0]
        words = content_words(words_of(part))
        inside = find_words(wanted, words) is not None
        if inside and len(words) <= len(wanted) + _WORDS_AROUND and not _HEDGE.search(part):
            return passed(Check.ANSWER, f"it states {shortened(part, 50)}")
        return _open(f"it states {shortened(part, 50)}")
    if find_words(wanted, content_words(words_of(lead))) is not None and not _HEDGE.search(lead):
        return passed(Check.ANSWER, f"in: {shortened(lead, 50)}")
    return _open(f"not in: {shortened(lead, 50)}")


def _is_new(part: str, question: str) -> bool:
    words = content_words(words_of(part))
    return bool(words) and find_words(words, content_words(words_of(question))) is None


def _open(detail: str) -> Finding:
    return unclear(Check.ANSWER, Reason.NOT_SURE, detail)
