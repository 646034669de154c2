"""How a crawl ended, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from training.construction.crawl.visits import Reason


@dataclass(frozen=True, slots=True)
class CrawlReport:
    """How a crawl ended.

    Attributes:
        num_kept: Pages kept, those of earlier parts included.
        num_visits: Addresses visited, likewise.
        num_replayed: Visits that were on record when this part began.
        num_bytes: Bytes of documents read, over all parts.
        seconds: Time that this part took.
        stopped_by: The limit that ended the crawl (`max_pages` and the like), `failing_hosts` where
            all that is left lies on hosts that kept failing; empty where there is nothing left.
        addresses: Distinct addresses by what became of them.
        links: Links of visited pages by what became of them when they were found.
    """

    num_kept: int
    num_visits: int
    num_replayed: int
    num_bytes: int
    seconds: float
    stopped_by: str
    addresses: dict[Reason, int]
    links: dict[Reason, int]
