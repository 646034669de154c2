"""Articles: the Wikipedia leads of the embedded web and the pages of one's own corpus files."""

from __future__ import annotations

import gzip
import json
import lzma
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO
from urllib.parse import unquote

from agents.errors import AssetError, UsageError
from agents.web.analysis import fold, split_sentences
from agents.web.facts.names import page_url
from agents.web.pages import Link, Page

WIKIPEDIA = "https://en.wikipedia.org/wiki/"
_PROMINENCE = 0.3
_PARAGRAPH = re.compile(r"\n\s*\n")


class Titles:
    """Gives every page a title and an address of its own.

    Args:
        pages: Pages that have theirs already.
    """

    def __init__(self, pages: Iterable[Page]) -> None:
        self._taken = {page.url.casefold() for page in pages}

    def claim(self, title: str, suffix: str) -> tuple[str, str]:
        """Returns a free title and its url; a taken title gets the suffix, then a number."""
        title = " ".join(title.split())
        wanted, number = title, 1
        while page_url(wanted).casefold() in self._taken:
            wanted = f"{title} ({suffix})" if number == 1 else f"{title} ({suffix} {number})"
            number += 1
        url = page_url(wanted)
        self._taken.add(url.casefold())
        return wanted, url


def read_leads(path: Path, titles: Titles) -> Iterator[Page]:
    """Reads the Wikipedia leads.

    Args:
        path: `summaries_en-us.json`: title → `title, extract, description, topic`.
        titles: The titles in use.

    Raises:
        AssetError: The file cannot be read.
    """
    try:
        summaries = json.loads(path.read_text(encoding="utf-8"))
        rows = [(str(row["title"]), str(row["extract"])) for row in summaries.values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AssetError(f"the Wikipedia leads {path} cannot be read: {error}") from error
    for name, extract in rows:
        text = _text_of(extract)
        if text and name.strip():
            title, url = titles.claim(name, "article")
            source = WIKIPEDIA + "_".join(name.split())
            yield Page(url, title, "article", text, prominence=_PROMINENCE, source=source)


def read_corpus(path: Path, titles: Titles) -> list[Page]:
    """Reads one's own pages.

    Each line is a JSON object with `title` and `text`; `url` (where it comes from), `id` and
    `links` (ids or titles, percent-encoded or not, or objects with `title`) are optional, and
    more is ignored.

    Args:
        path: A JSONL file; `.gz` and `.xz` are unpacked on the way.
        titles: The titles in use.

    Raises:
        UsageError: The file cannot be read, or a line is not such an object.
    """
    if not path.is_file():
        raise UsageError(f"there is no corpus file {path} (web.corpus)")
    rows: list[_Row] = []
    try:
        with _open_text(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    rows.append(_read_row(line, f"{path}, line {number}", titles))
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the corpus file {path} cannot be read: {reason}") from error
    if not rows:
        raise UsageError(f"the corpus file {path} holds no pages")
    return _resolve_links(rows)


@dataclass(frozen=True, slots=True)
class _Row:
    """A page, its id and title as the file has them, and the ids or titles that it links to."""

    page: Page
    row_id: str
    name: str
    linked: tuple[str, ...]


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _read_row(line: str, place: str, titles: Titles) -> _Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{place}: not a JSON object ({error})") from error
    if not isinstance(row, dict):
        raise UsageError(f"{place}: expected a JSON object with title and text")
    for field in ("title", "text"):
        if not isinstance(row.get(field), str) or not row[field].strip():
            raise UsageError(f"{place}: {field!r} is missing or not a text")
    links = row.get("links") or []
    if not isinstance(links, list):
        raise UsageError(f"{place}: 'links' is not a list")
    title, url = titles.claim(row["title"], "page")
    page = Page(
        url,
        title,
        "page",
        _text_of(row["text"]),
        prominence=_PROMINENCE,
        source=str(row.get("url") or ""),
    )
    named = (link.get("title") if isinstance(link, dict) else link for link in links)
    linked = tuple(name for name in named if isinstance(name, str) and name)
    row_id = row.get("id")
    name = " ".join(row["title"].split())
    return _Row(page, row_id if isinstance(row_id, str) else "", name, linked)


def _resolve_links(rows: Sequence[_Row]) -> list[Page]:
    # Links speak of the file's own titles, which the web may have had to qualify; an id is surer,
    # since two rows may have one title.
    by_id: dict[str, Link] = {}
    by_name: dict[str, Link] = {}
    for row in rows:
        link = Link(row.page.title, row.page.url)
        by_name.setdefault(fold(row.name), link)
        if row.row_id:
            by_id.setdefault(row.row_id, link)

    def meant(name: str) -> Link | None:
        return by_id.get(name) or by_name.get(fold(unquote(name).replace("_", " ")))

    return [
        replace(
            row.page,
            links=tuple(
                link
                for link in dict.fromkeys(map(meant, row.linked))
                if link is not None and link.url != row.page.url
            ),
        )
        for row in rows
    ]


def _text_of(text: str) -> str:
    paragraphs = []
    for paragraph in _PARAGRAPH.split(text.replace("\xa0", " ")):
        sentences = split_sentences(" ".join(paragraph.split()))
        if sentences:
            paragraphs.append("\n".join(sentences))
    return "\n\n".join(paragraphs)
