"""How text becomes search terms, and where sentences end; the same for pages and queries."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from agents.web.facts.names import strip_accents

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_POSSESSIVE = re.compile(r"['\u2019]s\b")
_QUALIFIER = re.compile(r"\s*\([^()]*\)$")
_DIGIT_GROUPS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_FUNCTION_WORDS = """
a an and are as at be been by did do does find for from has have how i in into is it its of on or s
that the their then there this to was were what when where which who whom whose why will with
"""
_STOPWORDS = frozenset(_FUNCTION_WORDS.split())
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"\u201d')\]]*\s+(?=[\"\u201c'(\[]?[A-Z0-9\u00c0-\u00de])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|St|Mt|Dr|Mr|Mrs|Ms|Jr|Sr|No|vs|ca|c|cf|Inc|Ltd|Co|Gen|Col|Prof|Rev|approx|"
    r"e\.g|i\.e|etc|lit|fl|b|d|r)|\b[A-Z]\.[A-Z])\.$"
)


def fold(text: str) -> str:
    """Lower case without accents, so that `Zürich` and `zurich` are one."""
    return text.lower() if text.isascii() else strip_accents(text).casefold()


@lru_cache(maxsize=262_144)
def _term(word: str) -> str:
    """The search term of a lower-case word; empty for function words."""
    word = fold(word)
    if word in _STOPWORDS:
        return ""
    # Plurals only: a stronger stemmer makes different names fall together.
    if len(word) > 3 and word.isascii() and word.endswith("s"):
        if word.endswith("ies") and len(word) > 4:
            return word[:-3] + "y"
        if not word.endswith(("ss", "us", "is")):
            return word[:-1]
    return word


def terms(text: str) -> list[str]:
    """Search terms of a text in order: folded, plurals stripped, without function words.

    A text of nothing but function words (`The Who`) keeps them all.
    """
    if not text.isascii():
        # Composed, an accented letter is one letter; alone, its accent would end a word.
        text = unicodedata.normalize("NFC", text)
    cleaned = _DIGIT_GROUPS.sub("", _POSSESSIVE.sub("", text.lower()))
    words: list[str] = _WORD.findall(cleaned)
    return [term for term in map(_term, words) if term] or [fold(word) for word in words]


def split_sentences(text: str) -> list[str]:
    """Sentences of a running text; initials and common abbreviations do not end one."""
    sentences: list[str] = []
    for line in text.splitlines():
        start = 0
        stripped = line.strip()
        for match in _SENTENCE_END.finditer(stripped):
            head = stripped[start : match.start()].rstrip("\"\u201d')]")
            if _ABBREVIATION.search(head):
                continue
            sentences.append(stripped[start : match.end()].strip())
            start = match.end()
        if stripped[start:].strip():
            sentences.append(stripped[start:].strip())
    return sentences


def base_title(title: str) -> str:
    """The title without what tells it apart: `Lyon (city)` becomes `Lyon`."""
    return _QUALIFIER.sub("", title) or title
