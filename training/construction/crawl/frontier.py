"""What a crawl knows of addresses: which are queued, in which order, and what became of the rest.

It lies in a private SQLite file, so that memory stays flat however many addresses there are. The
file is scratch and has no name: it is gone with the process, and is built again from the record of
visits, which alone is kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from training.construction.crawl.addresses import host_of
from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.scope import Scope
from training.construction.crawl.scoring import ROOT_SCORE, joined_score
from training.construction.crawl.traps import count_problem, shape_problem, template_of
from training.construction.crawl.visits import STANDS_FOR_ANOTHER, Reason, Visit

_SCHEMA = """
create table urls (
    id integer primary key, url text not null unique, host text not null, state integer not null,
    reason text not null, depth integer not null, score real not null,
    num_redirects integer not null, leads_to text not null
);
create index queue on urls (score desc, id) where state = 0;
create table counts (name text primary key, num integer not null) without rowid;
"""
_QUEUED, _TAKEN, _FINISHED, _REFUSED = range(4)
# Longer ones are never fetched, and are kept for the count alone.
_MAX_KEPT_CHARS = 1_000
_CACHE_KIB = 16_384


@dataclass(frozen=True, slots=True)
class Queued:
    """An address whose turn it is.

    Attributes:
        url: Canonical address.
        depth: Fewest links from a root to it that are known.
        score: Its score.
        num_redirects: Redirects that led to it.
    """

    url: str
    depth: int
    score: float
    num_redirects: int


class Frontier:
    """The addresses of one crawl.

    Args:
        config: Limits.
        scope: Which addresses belong to the roots' sites.
    """

    def __init__(self, config: CrawlConfig, scope: Scope) -> None:
        self._config = config
        self._scope = scope
        # A temporary database: what the cache does not hold is written to an unnamed file.
        self.database = sqlite3.connect("", isolation_level=None)
        self.database.execute("pragma journal_mode = off")
        self.database.execute("pragma synchronous = off")
        self.database.execute("pragma temp_store = file")
        self.database.execute(f"pragma cache_size = -{_CACHE_KIB}")
        self.database.executescript(_SCHEMA)
        # One transaction for all: nobody else reads the file, and nothing of it is to outlive us.
        self.database.execute("begin")

    def close(self) -> None:
        """Closes the file."""
        self.database.close()

    def admit(
        self, url: str, depth: int, score: float = ROOT_SCORE, num_redirects: int = 0
    ) -> Reason:
        """Queues an address, unless it is known or not wanted.

        Args:
            url: Canonical address.
            depth: Links from a root to it.
            score: How soon it is to be visited.
            num_redirects: Redirects that led to it.

        Returns:
            `QUEUED` where it is or was visited or will be, else why not.
        """
        row = self.database.execute(
            "select id, state, reason, depth, score from urls where url = ?", (url,)
        ).fetchone()
        if row is None:
            reason = self._problem(url, depth)
            self._insert(url, reason, depth, score, num_redirects)
            return reason
        number, state, reason, known_depth, known_score = row
        if state == _REFUSED and not (reason == Reason.TOO_DEEP and depth < known_depth):
            return Reason(reason)
        if state == _REFUSED:
            # It was too far away along the ways known until now; all else about it is as it was.
            found = self._problem(url, depth)
            self.database.execute(
                "update urls set state = ?, reason = ?, depth = ?, score = ? where id = ?",
                (_state(found), found, depth, score, number),
            )
            return found
        if state == _QUEUED:
            self.database.execute(
                "update urls set depth = ?, score = ? where id = ?",
                (min(depth, known_depth), joined_score(known_score, score), number),
            )
        return Reason.QUEUED

    def refuse(self, text: str, reason: Reason) -> None:
        """Notes what stood in the place of an address."""
        text = text[:_MAX_KEPT_CHARS]
        if not self._is_known(text):
            self._insert(text, reason, 0, 0.0, 0)

    def take(self, blocked: Collection[str] = ()) -> Queued | None:
        """Takes the best address out of the queue; None where there is none.

        Args:
            blocked: Hosts whose turn it is not.
        """
        marks = ", ".join("?" * len(blocked))
        row = self.database.execute(
            "select id, url, depth, score, num_redirects from urls where state = 0"  # noqa: S608
            f" and host not in ({marks}) order by score desc, id limit 1",
            tuple(blocked),
        ).fetchone()
        if row is None:
            return None
        number, *fields = row
        self._set_state(number, _TAKEN)
        return Queued(*fields)

    def take_this(self, url: str) -> Queued | None:
        """Takes a certain address out of the queue; None where it is not in it."""
        row = self.database.execute(
            "select id, url, depth, score, num_redirects from urls where url = ? and state = 0",
            (url,),
        ).fetchone()
        if row is None:
            return None
        self._set_state(row[0], _TAKEN)
        return Queued(*row[1:])

    def put_back(self, url: str) -> None:
        """Queues a taken address again."""
        self.database.execute("update urls set state = ? where url = ?", (_QUEUED, url))

    def finish(self, visit: Visit) -> None:
        """Notes what became of an address, queued or not."""
        if not self._is_known(visit.url):
            self._insert(visit.url, Reason.QUEUED, visit.depth, visit.score, visit.num_redirects)
        leads_to = visit.leads_to if visit.reason in STANDS_FOR_ANOTHER else ""
        self.database.execute(
            "update urls set state = ?, reason = ?, leads_to = ? where url = ?",
            (_FINISHED, visit.reason, leads_to, visit.url),
        )
        folder = _folder_of(visit.url)
        if visit.reason != Reason.REDIRECT:
            self._counted(f"visited {folder}")
        if visit.reason == Reason.KEPT:
            self._counted(f"kept {folder}")

    def meant_by(self, url: str) -> str:
        """The address that stands for one, redirects and duplicates followed."""
        for _ in range(100):
            row = self.database.execute(
                "select leads_to from urls where url = ?", (url,)
            ).fetchone()
            if row is None or not row[0]:
                break
            url = row[0]
        return url

    def kept_share(self, url: str) -> float:
        """Smoothed share of the visited addresses of an address's folder that were kept."""
        folder = _folder_of(url)
        return (self._count(f"kept {folder}") + 2) / (self._count(f"visited {folder}") + 2)

    def num_queued(self) -> int:
        """Addresses in the queue, those included that are being visited."""
        query = "select count(*) from urls where state in (0, 1)"
        return int(self.database.execute(query).fetchone()[0])

    def counts(self) -> dict[Reason, int]:
        """How many addresses there are of each outcome."""
        rows: Iterable[tuple[str, int]] = self.database.execute(
            "select reason, count(*) from urls group by reason order by count(*) desc, reason"
        )
        return {Reason(reason): num for reason, num in rows}

    def _problem(self, url: str, depth: int) -> Reason:
        if not self._scope.holds(url):
            return Reason.OFF_SITE
        problem = shape_problem(url)
        if problem is None and depth > self._config.max_depth:
            problem = Reason.TOO_DEEP
        return problem or count_problem(url, self._config, self._counted) or Reason.QUEUED

    def _insert(
        self, url: str, reason: Reason, depth: int, score: float, num_redirects: int
    ) -> None:
        host = "" if reason == Reason.MALFORMED else host_of(url)
        self.database.execute(
            "insert into urls (url, host, state, reason, depth, score, num_redirects, "
            "leads_to) values (?, ?, ?, ?, ?, ?, ?, '')",
            (url, host, _state(reason), reason, depth, score, num_redirects),
        )

    def _is_known(self, url: str) -> bool:
        query = "select 1 from urls where url = ?"
        return self.database.execute(query, (url,)).fetchone() is not None

    def _set_state(self, number: int, state: int) -> None:
        self.database.execute("update urls set state = ? where id = ?", (state, number))

    def _counted(self, name: str) -> int:
        row = self.database.execute(
            "insert into counts values (?, 1) on conflict do update set num = num + 1 "
            "returning num",
            (name,),
        ).fetchone()
        return int(row[0])

    def _count(self, name: str) -> int:
        row = self.database.execute("select num from counts where name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])


def _state(reason: Reason) -> int:
    return _QUEUED if reason == Reason.QUEUED else _REFUSED


def _folder_of(url: str) -> str:
    return template_of(url).partition("?")[0].rpartition("/")[0]
