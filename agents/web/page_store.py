"""Pages on disk: one read-only SQLite file, opened in no time by every process.

Nothing is loaded up front; a page is read when it is asked for, so that many processes can hold
the web at the cost of one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from threading import Lock
from urllib.parse import unquote, urlsplit

from agents.errors import AssetError
from agents.web.analysis import base_title, fold
from agents.web.facts.names import WIKI_ROOT
from agents.web.pages import Link, Page

_SCHEMA = """
create table pages (
    number integer primary key, url text not null unique, title text not null,
    kind text not null, text text not null, links text not null, names text not null,
    hints text not null, prominence real not null, source text not null, folded text not null,
    base text not null
);
create index pages_source on pages (source);
create index pages_folded on pages (folded);
create index pages_base on pages (base);
"""
_MAPPED_BYTES = 1 << 34
_COLUMNS = "url, title, kind, text, links, names, hints, prominence, source"


def write_pages(path: Path, pages: Iterable[Page]) -> None:
    """Writes all pages, numbered from 0 in the order given.

    Args:
        path: The file to be made.
        pages: Pages with unique urls.
    """
    with sqlite3.connect(path, isolation_level=None) as database:
        # The file is renamed into place when it is complete: no journal is needed.
        database.execute("pragma journal_mode = off")
        database.execute("pragma synchronous = off")
        database.executescript(_SCHEMA)
        database.execute("begin")
        database.executemany(
            f"insert into pages (number, {_COLUMNS}, folded, base) "  # noqa: S608
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (_row(number, page) for number, page in enumerate(pages)),
        )
        database.execute("commit")
    database.close()


def _row(number: int, page: Page) -> tuple[object, ...]:
    return (
        number,
        page.url,
        page.title,
        page.kind,
        page.text,
        json.dumps([[link.title, link.url] for link in page.links], ensure_ascii=False),
        json.dumps(page.names, ensure_ascii=False),
        json.dumps(page.hints, ensure_ascii=False),
        page.prominence,
        page.source,
        fold(page.title),
        fold(base_title(page.title)),
    )


class PageStore(Mapping[str, Page]):
    """All pages by canonical url.

    Safe to use from several threads.

    Args:
        path: A file that `write_pages` made.

    Raises:
        AssetError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        try:
            self._database = sqlite3.connect(
                f"{path.as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )
            self._database.execute(f"pragma mmap_size = {_MAPPED_BYTES}")
            (self._size,) = self._database.execute("select count(*) from pages").fetchone()
        except sqlite3.Error as error:
            raise AssetError(f"the web's pages {path} cannot be read: {error}") from error
        self.numbered = lru_cache(maxsize=8192)(self._numbered)

    def __getitem__(self, url: str) -> Page:
        """The page of a canonical url."""
        page = self._one("url = ?", url)
        if page is None:
            raise KeyError(url)
        return page

    def __iter__(self) -> Iterator[str]:
        """Canonical urls of all pages, in the order in which they were written."""
        with self._lock:
            rows = self._database.execute("select url from pages order by number").fetchall()
        return (url for (url,) in rows)

    def __len__(self) -> int:
        """Number of pages."""
        return int(self._size)

    def find(self, reference: str) -> Page | None:
        """The page that a url, a title or a path means, None where there is none.

        Any host is accepted before `/wiki/`; case and accents of a title may differ; a name
        shared by several pages means the most prominent of them.
        """
        reference = reference.strip()
        if not reference:
            return None
        name = _name_of_reference(reference)
        for condition, value in (
            ("url = ?", reference),
            ("source = ?", reference),
            ("folded = ?", fold(name)),
            ("base = ?", fold(name)),
        ):
            page = self._one(f"{condition} order by prominence desc, number", value)
            if page is not None:
                return page
        return None

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._database.close()

    def _numbered(self, number: int) -> Page:
        page = self._one("number = ?", number)
        if page is None:
            raise KeyError(number)
        return page

    def _one(self, condition: str, value: str | int) -> Page | None:
        query = f"select {_COLUMNS} from pages where {condition} limit 1"  # noqa: S608
        try:
            with self._lock:
                row = self._database.execute(query, (value,)).fetchone()
        except sqlite3.Error as error:
            raise AssetError(f"the web's pages cannot be read: {error}") from error
        if row is None:
            return None
        url, title, kind, text, links, names, hints, prominence, source = row
        return Page(
            url=url,
            title=title,
            kind=kind,
            text=text,
            links=tuple(Link(*link) for link in json.loads(links)),
            names=tuple(json.loads(names)),
            hints=tuple(json.loads(hints)),
            prominence=prominence,
            source=source,
        )


def _name_of_reference(reference: str) -> str:
    path = reference
    if reference.startswith(WIKI_ROOT):
        path = reference[len(WIKI_ROOT) :]
    elif "://" in reference:
        path = urlsplit(reference).path
    path = unquote(path).strip("/").removeprefix("wiki/")
    return " ".join(path.replace("_", " ").split())
