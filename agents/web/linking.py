"""Links by title: articles to what they mention, and pages of one name to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agents.web.analysis import base_title
from agents.web.pages import Link, Page

TEXT_KINDS = ("article", "page")
"""Kinds of the pages that hold running text."""

_PUNCTUATION = ",.;:()[]\"'\u201c\u201d!?"
_MAX_NAME_WORDS = 6
_MAX_SEE_ALSO = 3
# Shorter common nouns (`area`, `light`) are linked by nobody.
_MIN_NOUN_LETTERS = 7


def link_by_titles(pages: Sequence[Page], max_mentions: int = 40) -> list[Page]:
    """Adds links to pages by their titles.

    Articles, and corpus pages that bring no links of their own, link to what their text
    mentions; every page links to the most prominent pages of other kinds that have its name.

    Args:
        pages: All pages of the web.
        max_mentions: Most links that are added to one page for what it mentions.

    Returns:
        The same pages in the same order, with more links.
    """
    namesakes: dict[str, list[Page]] = {}
    for page in sorted(pages, key=lambda p: (p.kind not in TEXT_KINDS, -p.prominence)):
        namesakes.setdefault(base_title(page.title), []).append(page)
    names = _names_to_mention(pages, namesakes)
    linked = []
    for page in pages:
        same = [p for p in namesakes[base_title(page.title)] if p.kind != page.kind]
        others = same[:_MAX_SEE_ALSO]
        if page.kind in TEXT_KINDS and not page.links:
            others += _mentions(page.text, names)[:max_mentions]
        links = {link.url: link for link in page.links}
        for other in others:
            if other.url != page.url:
                links.setdefault(other.url, Link(other.title, other.url))
        linked.append(replace(page, links=tuple(links.values())))
    return linked


@dataclass(frozen=True, slots=True)
class _Names:
    """What can be mentioned.

    Attributes:
        pages: The page that a name means.
        longest: Words of the longest name that begins with a word.
    """

    pages: Mapping[str, Page]
    longest: Mapping[str, int]


def _names_to_mention(pages: Sequence[Page], namesakes: Mapping[str, list[Page]]) -> _Names:
    # An article is meant by its whole title, a fact page by its name where no article has it.
    named = {page.title: page for page in pages if page.kind in TEXT_KINDS}
    for name, same in namesakes.items():
        if same[0].kind not in TEXT_KINDS:
            named.setdefault(name, same[0])
    longest: dict[str, int] = {}
    for name in named:
        words = name.split()
        if len(words) <= _MAX_NAME_WORDS:
            first = words[0].strip(_PUNCTUATION)
            longest[first] = max(longest.get(first, 0), len(words))
    return _Names(named, longest)


def _mentions(text: str, names: _Names) -> list[Page]:
    found: dict[str, Page] = {}
    for line in text.splitlines():
        words = line.split()
        start = 0
        while start < len(words):
            first = words[start].strip(_PUNCTUATION)
            noun = first[:1].islower()
            if noun:
                first = first[:1].upper() + first[1:]
            step = 1
            for size in range(min(names.longest.get(first, 0), len(words) - start), 0, -1):
                name = " ".join(words[start : start + size]).strip(_PUNCTUATION)
                if noun:
                    name = name[:1].upper() + name[1:]
                page = names.pages.get(name)
                if page is not None and _is_meant(page, size, noun, start == 0):
                    found.setdefault(page.url, page)
                    step = size
                    break
            start += step
    return list(found.values())


def _is_meant(page: Page, num_words: int, noun: bool, begins_sentence: bool) -> bool:
    if page.kind in TEXT_KINDS:
        return not noun or num_words > 1 or len(page.title) >= _MIN_NOUN_LETTERS
    # `Of` and `Mobile` are cities, but not wherever a sentence begins so, nor in lower case.
    return not noun and (num_words > 1 or not begins_sentence)
