"""Scores of one answer: exact match, F1, and the rule-based accuracy that rewards reuse.

Exact match and F1 are those of the field, under one of two normalisations:

- `squad`: SQuAD's (Rajpurkar et al., 2016; the evaluation script of version 2.0): lower case,
  punctuation removed, the articles a, an and the removed; F1 over tokens as often as they occur.
- `deepresearcher`: that of DeepResearcher (Zheng et al., arXiv 2504.03160; `preprocess_text` of its
  scorer): lower case, each punctuation sign made a space, articles kept; F1 over sets of tokens.

Accuracy is our rule without a judge. It accepts what differs from a right answer only in accents,
in how a number or a date is written, or in a lead-in ("The answer is …"), and nothing else: an
answer that lists or hedges ("Paris or London") never equals a single right answer.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from agents.web.facts.names import strip_accents
from evaluation.dates import parse_date
from evaluation.quantities import parse_quantity

Normalisation = Literal["squad", "deepresearcher"]

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SPACES_FOR_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_LEAD_IN = re.compile(
    r"^(?:(?:(?:the |my )?(?:final )?answer(?: is|:)|it is|it's|that is)\s+"
    r"|in (?:the year )?(?=\d{3,4}\b))",
    re.I,
)
_VERDICT = re.compile(r"(yes|no)\s*[,.;:!–—-]\s+(.+)", re.I | re.S)
_TAKEN_BACK = frozenset({
    "yes", "no", "but", "or", "maybe", "perhaps", "possibly", "however", "although", "though",
    "unless", "partly", "depends", "unsure", "unknown", "unclear",
})  # fmt: skip
"""Words after "Yes, …" that leave open what was meant."""


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """Scores of one answer against the best of the right answers.

    Attributes:
        em: 1.0 if it equals one after normalisation, else 0.0.
        f1: Best token F1 after normalisation, from 0 to 1.
        accuracy: 1.0 if it is one by the rule of this module, else 0.0.
    """

    em: float
    f1: float
    accuracy: float


def score_answer(
    predicted: str | None, golds: Sequence[str], normalisation: Normalisation = "squad"
) -> AnswerScore:
    """Scores an answer; none and a blank one score 0 throughout.

    Args:
        predicted: The answer, None where there was none.
        golds: Right answers, aliases included; any of them counts.
        normalisation: Whose exact match and F1; the accuracy is the same under both.

    Raises:
        ValueError: There is no right answer to compare with.
    """
    if not golds:
        raise ValueError("a question needs at least one right answer, got none")
    if predicted is None or not predicted.strip():
        return AnswerScore(0.0, 0.0, 0.0)
    return AnswerScore(
        em=max(exact_match(predicted, gold, normalisation) for gold in golds),
        f1=max(token_f1(predicted, gold, normalisation) for gold in golds),
        accuracy=float(any(is_right(predicted, gold) for gold in golds)),
    )


def normalise_squad(text: str) -> str:
    """SQuAD's normalisation; nothing is left of a text of articles and punctuation alone."""
    without = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", without).split())


def normalise_deepresearcher(text: str) -> str:
    """DeepResearcher's normalisation; nothing is left of a text of punctuation alone."""
    return " ".join(text.lower().translate(_SPACES_FOR_PUNCTUATION).split())


_NORMALISERS = {"squad": normalise_squad, "deepresearcher": normalise_deepresearcher}


def exact_match(predicted: str, gold: str, normalisation: Normalisation = "squad") -> float:
    """1.0 if both are the same text after normalisation, else 0.0."""
    normalise = _NORMALISERS[normalisation]
    return float(normalise(predicted) == normalise(gold))


def token_f1(predicted: str, gold: str, normalisation: Normalisation = "squad") -> float:
    """Harmonic mean of token precision and recall after normalisation, from 0 to 1.

    Where nothing is left of one of them it is 1.0 if nothing is left of both (SQuAD 2.0), and with
    `deepresearcher` 0.0.
    """
    normalise = _NORMALISERS[normalisation]
    predicted_tokens, gold_tokens = normalise(predicted).split(), normalise(gold).split()
    if normalisation == "deepresearcher":
        # Its sets: a token counts once, however often it stands there.
        predicted_tokens, gold_tokens = sorted(set(predicted_tokens)), sorted(set(gold_tokens))
    elif not (predicted_tokens and gold_tokens):
        return float(predicted_tokens == gold_tokens)
    num_same = (Counter(predicted_tokens) & Counter(gold_tokens)).total()
    if not num_same:
        return 0.0
    return 2 * num_same / (len(predicted_tokens) + len(gold_tokens))


def is_right(predicted: str, gold: str) -> bool:
    """Whether an answer is the right one, by rule.

    A number must have the right answer's value, whatever its separators, and its unit where both
    name one. A date must name the same day, month and year, or lack those that the right answer
    lacks. Yes and no may be followed by a reason that does not take them back. Any other answer
    must have the right answer's words, no more and no fewer, after SQuAD normalisation without
    accents.
    """
    plain = predicted.strip()
    readings = {plain, _LEAD_IN.sub("", plain)}
    if (right := parse_quantity(gold)) is not None:
        return any(_is_quantity(reading, right) for reading in readings)
    words = _words(gold)
    if any(_words(reading) == words for reading in readings):
        return True
    if (date := parse_date(gold)) is not None:
        return any(parse_date(reading) == date for reading in readings)
    return words in ("yes", "no") and any(_verdict(reading) == words for reading in readings)


def _is_quantity(text: str, right: tuple[Decimal, str]) -> bool:
    quantity = parse_quantity(text)
    if quantity is None or quantity[0] != right[0]:
        return False
    return not quantity[1] or not right[1] or quantity[1] == right[1]


def _verdict(text: str) -> str | None:
    """`yes` or `no` where a text says so and goes on with a reason, else None."""
    match = _VERDICT.fullmatch(text)
    if match is None:
        return None
    verdict, reason = match[1].lower(), set(re.findall(r"\w+", match[2].lower()))
    taken_back = _TAKEN_BACK if verdict == "no" else _TAKEN_BACK | {"not", "t"}
    return None if reason & taken_back else verdict


def _words(text: str) -> str:
    # Separators become spaces first: SQuAD's rule would glue "Sao-Tome" into one word.
    spaced = re.sub(r"[-_/]", " ", strip_accents(text))
    # A text that is nothing but articles and signs ("A", "%") stays as it is.
    return normalise_squad(spaced) or " ".join(text.lower().split())
