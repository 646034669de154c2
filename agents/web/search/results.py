"""Search results in one shape: plain text, canonical addresses, each page once, within a budget."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_FORMATTING = re.compile(
    r"</?(?:b|strong|em|i|u|mark|span|br|p|wbr)(?:\s[^<>]*)?/?>", re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_TRACKING = re.compile(r"utm_\w+|gclid|fbclid|msclkid|dclid|yclid|mc_[ce]id|igshid|srsltid")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_TITLE_WORDS = 30
_MAX_URL_CHARS = 2_000
DOCUMENT_SCHEME = "doc"
"""Scheme of documents that have an id and no address: they can be shown and not be visited."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One result of a search.

    Attributes:
        url: Canonical address of the page.
        title: Its title, plain text.
        snippet: What of it fits the query, plain text.
    """

    url: str
    title: str
    snippet: str


def plain_text(text: str) -> str:
    """A provider's text without formatting tags, entities, invisible characters and line ends.

    Tags that do not format text are left as they are: a title may well be about `<div>`.
    """
    return " ".join(_CONTROL.sub("", html.unescape(_FORMATTING.sub("", text))).split())


def canonical_url(url: str) -> str:
    """The one spelling of an address, without fragment, default port and tracking parameters.

    Returns:
        The address; empty for what is no address of a page.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except ValueError:
        return ""
    scheme = parts.scheme.lower()
    if scheme == DOCUMENT_SCHEME:
        return url.strip()[:_MAX_URL_CHARS]
    if scheme not in _DEFAULT_PORTS or not host or len(url) > _MAX_URL_CHARS:
        return ""
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        place = f"{place}:{port}"
    query = parts.query
    kept = [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if not _TRACKING.fullmatch(name.lower())
    ]
    if len(kept) != len(parse_qsl(query, keep_blank_values=True)):
        query = urlencode(kept)
    return urlunsplit((scheme, place, parts.path or "/", query, ""))


def cut_words(text: str, max_words: int) -> str:
    """The first words of a text, with an ellipsis where some are left out."""
    words = text.split()
    return text if len(words) <= max_words else f"{' '.join(words[:max_words])} …"


def normalised(raw: Iterable[tuple[str, str, str]], k: int, max_words: int) -> list[SearchResult]:
    """Brings results into their one shape.

    A page that stands twice is shown once, and so is text that stands under several addresses.

    Args:
        raw: Title, address and snippet of each result, the best first.
        k: Most results.
        max_words: Most words of a snippet.
    """
    found: list[SearchResult] = []
    urls: set[str] = set()
    texts: set[tuple[str, str]] = set()
    for raw_title, address, raw_snippet in raw:
        url = canonical_url(address)
        title, snippet = plain_text(raw_title), plain_text(raw_snippet)
        text = (title.casefold(), snippet.casefold())
        # Sites answer with and without the slash, under both schemes and with www alike.
        same_place = re.sub(r"^https?://(www\.)?", "", url).rstrip("/")
        if not url or same_place in urls or text in texts or not (title or snippet):
            continue
        urls.add(same_place)
        texts.add(text)
        found.append(
            SearchResult(url, cut_words(title, _MAX_TITLE_WORDS), cut_words(snippet, max_words))
        )
        if len(found) == k:
            break
    return found
