"""Links by title: articles to what they mention, and pages of one name to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agents.web.analysis import base_title
from agents.web.pages import Link, Page

_PUNCTUATION = ",.;:()[]\"'\u201c\u201d!?"
_MAX_NAME_WORDS = 6
_MAX_SEE_ALSO = 3


def link_by_titles(pages: Sequence[Page], max_mentions: int = 40) -> list[Page]:
    """Adds links to pages by their titles.

    Articles and corpus pages link to what their text mentions; every page links to the most
    prominent pages of other kinds that have its name.

    Args:
        pages: All pages of the web.
        max_mentions: Most links that are added to one page for what it mentions.

    Returns:
        The same pages in the same order, with more links.
    """
    by_name: dict[str, list[Page]] = {}
    for page in pages:
        by_name.setdefault(base_title(page.title), []).append(page)
    for same in by_name.values():
        # A mention means the article, where there is one, else the most prominent page.
        same.sort(key=lambda page: (page.kind != "article", -page.prominence))
    linked = []
    for page in pages:
        namesakes = [p for p in by_name[base_title(page.title)] if p.kind != page.kind]
        others = namesakes[:_MAX_SEE_ALSO]
        if page.kind in ("article", "page"):
            others += _mentions(page.text, by_name)[:max_mentions]
        links = {link.url: link for link in page.links}
        for other in others:
            if other.url != page.url:
                links.setdefault(other.url, Link(other.title, other.url))
        linked.append(replace(page, links=tuple(links.values())))
    return linked


def _mentions(text: str, by_name: Mapping[str, list[Page]]) -> list[Page]:
    found: dict[str, Page] = {}
    for line in text.splitlines():
        words = line.split()
        start = 0
        while start < len(words):
            step = 1
            for size in range(min(_MAX_NAME_WORDS, len(words) - start), 0, -1):
                name = " ".join(words[start : start + size]).strip(_PUNCTUATION)
                page = _page_named(name, by_name)
                if page is not None:
                    found.setdefault(page.url, page)
                    step = size
                    break
            start += step
    return list(found.values())


def _page_named(name: str, by_name: Mapping[str, list[Page]]) -> Page | None:
    pages = by_name.get(name)
    if pages is None and name[:1].islower():
        # Common nouns are capitalised in titles; only articles are about those.
        capitalised = by_name.get(name[0].upper() + name[1:], [])
        pages = [page for page in capitalised if page.kind == "article"]
    return pages[0] if pages else None
