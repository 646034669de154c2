"""What needs no model: answers that are right by exact match, none at all, or plainly hedged.

Only what no judge could see otherwise is decided here. "Paris or London" may name one thing twice
("Louis XIV or the Sun King"), so it goes to the model, whose prompt says that alternatives are
wrong.
"""

from __future__ import annotations

import re

from evaluation.judging.marks import RULES, Grade, JudgeItem, Mark
from evaluation.quantities import parse_quantity
from evaluation.scoring import is_right, normalise_squad

_EITHER = re.compile(r"either\s+\S.*\s+or\s+\S", re.IGNORECASE | re.DOTALL)
_OR = re.compile(r"\s+or\s+", re.IGNORECASE)
_YES_AND_NO = re.compile(r"yes\W+((and|or)\W+)?no|no\W+((and|or)\W+)?yes", re.IGNORECASE)
_NO_ANSWER = frozenset(
    normalise_squad(text)
    for text in (
        "I don't know",
        "I do not know",
        "don't know",
        "not known",
        "unknown",
        "I'm not sure",
        "I am not sure",
        "not sure",
        "no answer",
        "no idea",
        "n/a",
        "cannot be determined",
        "it cannot be determined",
        "cannot answer",
        "I cannot answer",
        "insufficient information",
        "not enough information",
    )
)


def certain_mark(item: JudgeItem) -> Mark | None:
    """The mark of an answer that needs no model; None where a model must be asked.

    Raises:
        ValueError: The item has no right answers.
    """
    if not item.answers:
        raise ValueError(f"question {item.question_id} has no right answer to judge by")
    text = (item.predicted or "").strip()
    if not text:
        return Mark(Grade.NOT_ATTEMPTED, "there is no answer", RULES)
    if any(_matches(text, gold) for gold in item.answers):
        return Mark(Grade.CORRECT, "it equals a right answer", RULES)
    if gives_up(text) and not any(map(gives_up, item.answers)):
        return Mark(Grade.NOT_ATTEMPTED, "it gives no answer", RULES)
    if _is_hedged(text) and not any(map(_is_hedged, item.answers)):
        return Mark(Grade.INCORRECT, "it names alternatives", RULES)
    return None


def _matches(text: str, gold: str) -> bool:
    # Nothing is left of "A" or "%", so that all such texts would be equal.
    if normalise_squad(text) != normalise_squad(gold) or not normalise_squad(text):
        return False
    # SQuAD's rule drops points and signs: "1.5" would equal "15".
    return parse_quantity(gold) is None or is_right(text, gold)


def gives_up(text: str) -> bool:
    """Whether an answer says no more than that there is none."""
    return normalise_squad(text) in _NO_ANSWER


def _is_hedged(text: str) -> bool:
    bare = text.strip().rstrip(".")
    if _EITHER.match(bare) or _YES_AND_NO.fullmatch(bare):
        return True
    values = [parse_quantity(part) for part in _OR.split(bare)]
    # "3 or 4" are two values; words beside a number may say the same again.
    return None not in values and len({quantity[0] for quantity in values if quantity}) > 1
