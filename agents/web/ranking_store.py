"""What the ranking of search results needs of each page, ready-made on disk.

To analyse a page's text costs a hundred times what it costs to read the outcome back, and a query
looks at dozens of pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

from agents.errors import AssetError
from agents.web.passages import AnalysedPage

_SCHEMA = """
create table ranked (
    number integer primary key, url text not null, kind text not null, prominence real not null,
    terms text not null
)
"""
_KEPT = 4096
_MAPPED_BYTES = 1 << 34


@dataclass(frozen=True, slots=True)
class RankedPage:
    """A page as the ranking sees it.

    Attributes:
        number: Its number in the index.
        url: Canonical address.
        kind: Kind of its entity.
        prominence: From 0 to 1.
        analysed: Its terms.
    """

    number: int
    url: str
    kind: str
    prominence: float
    analysed: AnalysedPage


def write_ranking(path: Path, pages: Iterable[RankedPage]) -> None:
    """Writes what the ranking needs.

    Args:
        path: The file to be made.
        pages: The pages; they are taken one by one.
    """
    with sqlite3.connect(path, isolation_level=None) as database:
        # The file is renamed into place when it is complete: no journal is needed.
        database.execute("pragma journal_mode = off")
        database.execute("pragma synchronous = off")
        database.execute(_SCHEMA)
        database.execute("begin")
        database.executemany(
            "insert into ranked values (?, ?, ?, ?, ?)",
            ((p.number, p.url, p.kind, p.prominence, _packed(p.analysed)) for p in pages),
        )
        database.execute("commit")
    database.close()


class RankingStore:
    """Reads what `write_ranking` wrote; safe to use from several threads.

    Args:
        path: The file.

    Raises:
        AssetError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._unpacked = lru_cache(_KEPT)(_unpacked)
        try:
            self._database = sqlite3.connect(
                f"{path.as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )
            # Read where the system keeps it anyway, without a call and a copy for every page.
            self._database.execute(f"pragma mmap_size = {_MAPPED_BYTES}")
            self._database.execute("select 1 from ranked limit 1").fetchone()
        except sqlite3.Error as error:
            raise AssetError(f"the search index {path} cannot be read: {error}") from error

    def pages(self, numbers: Sequence[int]) -> list[RankedPage]:
        """The pages of some numbers, in any order."""
        marks = ",".join("?" * len(numbers))
        query = f"select * from ranked where number in ({marks})"  # noqa: S608 - marks alone
        try:
            with self._lock:
                rows = self._database.execute(query, numbers).fetchall()
        except sqlite3.Error as error:
            raise AssetError(f"the search index {self._path} cannot be read: {error}") from error
        return [
            RankedPage(number, url, kind, prominence, self._unpacked(terms))
            for number, url, kind, prominence, terms in rows
        ]


def _packed(page: AnalysedPage) -> str:
    """Terms between spaces, sets of them between line ends, the four parts between tabs."""
    parts = (page.names, (page.qualifier,), page.line_terms, page.hint_terms)
    return "\t".join("\n".join(" ".join(sorted(terms)) for terms in part) for part in parts)


def _unpacked(text: str) -> AnalysedPage:
    names, qualifier, lines, hints = (
        tuple(frozenset(terms.split()) for terms in part.split("\n")) for part in text.split("\t")
    )
    return AnalysedPage(
        names=names if names[0] else (),
        qualifier=qualifier[0],
        line_terms=lines if any(lines) else (),
        hint_terms=hints if any(hints) else (),
    )
