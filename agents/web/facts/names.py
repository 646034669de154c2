"""Names: folding them for comparison, and the titles and addresses of pages."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from urllib.parse import quote

WIKI_ROOT = "http://wiki.local/"
"""Where pages live; no such host is ever asked, tools resolve it to the local web."""

_UNDECOMPOSED = str.maketrans(
    {
        "đ": "d", "Đ": "D", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ı": "i", "ð": "d", "Ð": "D",
        "þ": "th", "Þ": "Th", "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ə": "a",
        "Ə": "A", "ħ": "h", "Ħ": "H", "‘": "'", "’": "'", "ʻ": "'", "ʼ": "'", "–": "-", "—": "-",
    }
)  # fmt: skip
"""Letters and signs that Unicode does not decompose into an ASCII letter and an accent."""


def strip_accents(text: str) -> str:
    """Writes Latin letters without accents; other scripts stay as they are."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text.translate(_UNDECOMPOSED))
    return "".join(char for char in decomposed if not unicodedata.combining(char))


@lru_cache(maxsize=65_536)
def fold(text: str) -> str:
    """Folds a name for comparison: no accents, case, punctuation or doubled spaces."""
    return " ".join(re.sub(r"[\W_]+", " ", strip_accents(text).casefold()).split())


def page_title(name: str, kind: str) -> str:
    """Title of an entity's page: the kind tells it from encyclopedia articles of that name."""
    return f"{name} ({kind})"


def page_name(title: str) -> str:
    """The name inside a page's title: `Lyon (city)` gives `Lyon`."""
    return re.sub(r" \([a-z]+\)$", "", title)


def page_url(title: str) -> str:
    """Canonical address of the page of that title, in ASCII so that it is easy to repeat."""
    return WIKI_ROOT + quote(strip_accents(title).replace(" ", "_"), safe="()',.!-")


def with_thousands(number: int) -> str:
    """Writes a whole number as pages do: `520,774`."""
    return f"{number:,}"
