"""Words of texts as the funnel's rules compare them, and where they occur."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from agents.web.facts.names import strip_accents

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?")
_MARKUP = re.compile(r"[*_`#]+")
_SENTENCE_END = re.compile(
    r"(?<!\b[A-Z])(?<!\bDr)(?<!\bSt)(?<!\bMr)(?<!\bvs)[.!?](?=[*\"”')\]]*(?:\s|$))|\n\s*\n|:\s*\n"
)
STOP_WORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "been", "by", "for", "from", "had", "has", "have",
    "he", "her", "his", "in", "is", "it", "its", "of", "on", "or", "s", "she", "that", "the",
    "their", "they", "this", "to", "was", "were", "which", "who", "with",
})  # fmt: skip


@lru_cache(maxsize=4096)
def words_of(text: str) -> tuple[str, ...]:
    """Lower-case words and numbers, without accents, markup and the commas of numbers."""
    plain = strip_accents(text.replace("’", "'")).lower()
    return tuple(
        word.replace(",", "") if word[0].isdigit() else word.removesuffix("'s")
        for word in _WORD.findall(plain)
    )


def content_words(words: Sequence[str]) -> list[str]:
    """The words that say something."""
    return [word for word in words if word not in STOP_WORDS]


def find_words(wanted: Sequence[str], words: Sequence[str]) -> int | None:
    """Where `wanted` begins in `words`, in a row; None where it does not occur."""
    width = len(wanted)
    if not width:
        return None
    first = wanted[0]
    for start in range(len(words) - width + 1):
        if words[start] == first and tuple(words[start : start + width]) == tuple(wanted):
            return start
    return None


def first_sentence(text: str) -> str:
    """The sentence that opens a text."""
    text = text.strip()
    end = _SENTENCE_END.search(text)
    return text[: end.start()] if end else text


def without_markup(text: str) -> str:
    """A text without Markdown's signs of emphasis."""
    return _MARKUP.sub("", text)


def shortened(text: str, most: int = 80) -> str:
    """A text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
