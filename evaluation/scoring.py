"""Scores of one answer: exact match, F1, and the rule-based accuracy that rewards reuse.

Exact match and F1 are SQuAD's (Rajpurkar et al., 2016): lower case, no punctuation, no articles.
Accuracy is our rule without a judge. It accepts what differs from a right answer only in accents,
in how a number is written, or in a lead-in ("The answer is …"), and nothing else: an answer that
lists or hedges ("Paris or London") never equals a single right answer.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from agents.web.facts.names import strip_accents

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LEAD_IN = re.compile(r"^(?:(?:the |my )?(?:final )?answer(?: is|:)|it is|it's|that is)\s+", re.I)
_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:[,\s]\d{3})+|\d+)(?:\.\d+)?")
_UNITS = {
    **dict.fromkeys(("people", "inhabitants", "residents"), "people"),
    **dict.fromkeys(("square kilometres", "square kilometers", "km²", "km2", "sq km"), "km²"),
    **dict.fromkeys(("feet", "ft"), "feet"),
}
"""Units that a number may carry, by how they are written."""


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """Scores of one answer against the best of the right answers.

    Attributes:
        em: 1.0 if it equals one after SQuAD normalisation, else 0.0.
        f1: Best token F1 after SQuAD normalisation, from 0 to 1.
        accuracy: 1.0 if it is one by the rule of this module, else 0.0.
    """

    em: float
    f1: float
    accuracy: float


def score_answer(predicted: str | None, golds: Sequence[str]) -> AnswerScore:
    """Scores an answer; none and a blank one score 0 throughout.

    Args:
        predicted: The answer, None where there was none.
        golds: Right answers, aliases included; any of them counts.

    Raises:
        ValueError: There is no right answer to compare with.
    """
    if not golds:
        raise ValueError("a question needs at least one right answer, got none")
    if predicted is None or not predicted.strip():
        return AnswerScore(0.0, 0.0, 0.0)
    return AnswerScore(
        em=float(any(normalise_squad(predicted) == normalise_squad(gold) for gold in golds)),
        f1=max(token_f1(predicted, gold) for gold in golds),
        accuracy=float(any(is_right(predicted, gold) for gold in golds)),
    )


def normalise_squad(text: str) -> str:
    """SQuAD's normalisation; text that it would leave empty ("A", "%") stays in lower case."""
    lowered = text.lower().translate(_PUNCTUATION)
    normalised = " ".join(re.sub(r"\b(a|an|the)\b", " ", lowered).split())
    return normalised or " ".join(text.lower().split())


def token_f1(predicted: str, gold: str) -> float:
    """Harmonic mean of token precision and recall after SQuAD normalisation, from 0 to 1."""
    predicted_tokens = normalise_squad(predicted).split()
    gold_tokens = normalise_squad(gold).split()
    num_same = (Counter(predicted_tokens) & Counter(gold_tokens)).total()
    if not num_same:
        return 0.0
    return 2 * num_same / (len(predicted_tokens) + len(gold_tokens))


def is_right(predicted: str, gold: str) -> bool:
    """Whether an answer is the right one, by rule.

    A number must have the right answer's value, whatever its separators, and its unit where both
    name one. Any other answer must have the right answer's words, no more and no fewer, after
    SQuAD normalisation without accents.
    """
    readings = {predicted.strip(), _LEAD_IN.sub("", predicted.strip())}
    right = parse_quantity(gold)
    if right is None:
        return any(_normalise(reading) == _normalise(gold) for reading in readings)
    for quantity in map(parse_quantity, readings):
        if quantity is not None and quantity[0] == right[0]:
            return not quantity[1] or not right[1] or quantity[1] == right[1]
    return False


def parse_quantity(text: str) -> tuple[Decimal, str] | None:
    """Value and unit of a text that is one number; None for any other text.

    Returns:
        The value, and the unit as `_UNITS` names it, empty where the text has none.
    """
    words = text.strip().rstrip(".").strip()
    match = _NUMBER.match(words)
    if match is None:
        return None
    rest = words[match.end() :]
    unit = " ".join(rest.lower().split())
    if rest and (not rest[0].isspace() or unit not in _UNITS):
        return None
    return Decimal(re.sub(r"[,\s]", "", match.group())), _UNITS.get(unit, "")


def _normalise(text: str) -> str:
    # Separators become spaces first: SQuAD's rule would glue "Sao-Tome" into one word.
    return normalise_squad(re.sub(r"[-_/]", " ", strip_accents(text)))
