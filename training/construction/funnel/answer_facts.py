"""Names, numbers and stressed parts of an answer: what it claims, as far as words show it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evaluation.quantities import parse_quantity
from training.construction.funnel.wording import (
    STOP_WORDS,
    content_words,
    find_words,
    first_sentence,
    without_markup,
    words_of,
)

_STRESSED = re.compile(
    r"\*\*(.+?)\*\*|(?<![*\w])\*([^*\n]+)\*(?![*\w])|[\"“]([^\"”\n]+)[\"”]", re.S
)
_NAME = re.compile(
    r"\b[A-ZÀ-Þ][\w'’.-]*(?:[ ](?:(?:of|the|de|la|von|van)[ ])?[A-ZÀ-Þ0-9][\w'’.-]*)*"
)
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?:st|nd|rd|th)?%?(?![\w])")
_VERDICT = re.compile(r"\W*(?:the answer is\W+)?(yes|no)\b", re.IGNORECASE)
_MOST_FACTS = 40
_BARE = 4
"""Words up to which an answer is a name or a number without a sentence around it."""


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What an answer claims.

    Attributes:
        lead: Its first sentence, where it answers.
        key: The part that answers; empty where words do not show it.
        others: Further names and numbers that the question does not name.
        verdict: `yes` or `no`, empty where it does not begin so.
    """

    lead: str
    key: str
    others: tuple[str, ...]
    verdict: str


def stressed_in(text: str) -> list[str]:
    """Bold, italic and quoted parts, in their order."""
    found = [next(part for part in match.groups() if part) for match in _STRESSED.finditer(text)]
    return [part.strip(" .,;:\"'*") for part in found if part.strip(" .,;:\"'*")]


def facts_of(answer: str, question: str) -> AnswerFacts:
    """Reads an answer's claims."""
    lead = first_sentence(answer)
    asked = words_of(question)
    verdict = _VERDICT.match(without_markup(lead))
    stressed = [part for part in stressed_in(lead) if _is_new(part, asked)]
    names = [part for part in _named(lead) if _is_new(part, asked)]
    whole, length = without_markup(answer).strip(), len(words_of(answer))
    if stressed:
        key = stressed[0]
    elif length <= _BARE:
        key = whole
    else:
        key = next(iter(names), whole if length <= 2 * _BARE else "")
    found = [*stressed, *names, *(part for part in _named(answer) if _is_new(part, asked))]
    by_words = {words_of(part): part for part in reversed(found)}
    by_words.pop(words_of(key), None)
    others = list(reversed(by_words.values()))[:_MOST_FACTS]
    return AnswerFacts(
        lead, "" if verdict else key, tuple(others), verdict[1].lower() if verdict else ""
    )


def numbers_in(text: str) -> set[str]:
    """Values of the numbers in a text, in digits or in words; "one" alone is too common."""
    values = set()
    for word in words_of(text):
        quantity = parse_quantity(word) if word != "one" else None
        if quantity is not None:
            values.add(f"{quantity[0].normalize():f}")
    return values


def _named(text: str) -> list[str]:
    plain = without_markup(text)
    found: list[tuple[int, str]] = []
    for match in _NAME.finditer(plain):
        name = match.group().strip(" .'’-")
        # The first word of a sentence is written large whatever it is.
        starts = match.start() == 0 or re.search(r"[.!?:\n-]\s*$", plain[: match.start()])
        if starts and " " not in name and not name.isupper():
            continue
        found.append((match.start(), name))
    found += [(match.start(), match.group()) for match in _NUMBER.finditer(plain)]
    inside = [
        (start, name)
        for start, name in found
        if not any(
            other <= start < other + len(longer) and len(longer) > len(name)
            for other, longer in found
        )
    ]
    return [name for _, name in sorted(inside)]


def _is_new(part: str, asked: tuple[str, ...]) -> bool:
    words = words_of(part)
    return (
        bool(set(words) - STOP_WORDS)
        and find_words(content_words(words), content_words(asked)) is None
    )
