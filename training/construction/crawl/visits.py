"""The record of a crawl: one row for each address visited, with what became of it and its links.

The rows in the order of the visits are the whole of a crawl: what is queued, counted or known as a
duplicate follows from them, so a crawl that was killed goes on from them alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol

from agents.fetching.outline import Place


class Reason(StrEnum):
    """What became of an address."""

    KEPT = "kept"
    """Its page is in the graph."""
    QUEUED = "queued"
    """It was not visited before the crawl ended."""
    REDIRECT = "redirect"
    """It leads to another address, which stands for it."""

    MALFORMED = "malformed_address"
    """It is no http(s) address: `mailto:`, `javascript:`, or damaged."""
    OFF_SITE = "off_site"
    """It belongs to none of the roots' sites."""
    TOO_DEEP = "too_deep"
    """It is more links away from the roots than is allowed."""
    TOO_LONG = "address_too_long"
    """Its address has too many characters, folders or parameters."""
    LOOPING_PATH = "looping_path"
    """Its path repeats itself, such as /a/b/a/b/a/b."""
    CALENDAR = "calendar"
    """There are enough addresses that differ from it in a date alone."""
    ENDLESS_QUERY = "endless_query"
    """There are enough addresses that differ from it in their query alone."""
    SAME_TEMPLATE = "same_template"
    """There are enough addresses that differ from it in their numbers alone."""
    NOFOLLOW = "nofollow"
    """The page that links to it asks robots not to follow that."""
    TOO_MANY_LINKS = "too_many_links"
    """The page that links to it has more links than are followed."""

    ROBOTS = "robots_txt"
    """The site's robots.txt asks not to visit it."""
    REFUSED = "refused_address"
    """The guard does not go there, or its redirects are too many."""
    REDIRECT_LOOP = "redirect_loop"
    """Its redirects lead in a circle."""
    MISSING = "missing"
    """The server has no such page for us."""
    NOT_HTML = "not_html"
    """It is a picture, an archive, a PDF or other data."""
    UNREADABLE = "unreadable"
    """Its document cannot be read."""
    NO_TEXT = "no_text"
    """It has fewer words than a page needs; its links are followed."""
    OTHER_LANGUAGE = "other_language"
    """It is in a language that is not wanted; its links are not followed."""
    DUPLICATE = "duplicate"
    """Its text is that of another page; its links are not followed."""
    NEAR_DUPLICATE = "near_duplicate"
    """Its text is nearly that of another page; its links are not followed."""
    NOINDEX = "noindex"
    """It asks robots not to keep it; its links are followed."""
    FAILED = "failed"
    """It could not be fetched, retries included; a resumed crawl tries again."""


STANDS_FOR_ANOTHER = frozenset({Reason.REDIRECT, Reason.DUPLICATE, Reason.NEAR_DUPLICATE})
"""Outcomes after which `Visit.leads_to` says which page is meant."""


@dataclass(frozen=True, slots=True)
class FoundLink:
    """A link of a visited page.

    Attributes:
        url: Canonical address, or what stood there where that is none.
        anchor: Its text.
        context: The words around it; empty outside of running text and lists.
        place: Where it stands.
        reason: `queued` where it is followed, else why not.
    """

    url: str
    anchor: str
    context: str
    place: Place
    reason: Reason


@dataclass(frozen=True, slots=True)
class Visit:
    """One visited address.

    Attributes:
        url: Canonical address.
        depth: Links from a root to it.
        reason: What became of it.
        detail: More of that in words; empty where there is nothing to say.
        leads_to: Canonical address that stands for it, for redirects and duplicates.
        title: The page's title.
        text: Its text; only of pages that are kept.
        text_digest: SHA-256 of the text, in hexadecimal.
        sketch: MinHash signature of the text, by which near duplicates are known.
        language: Its language as judged, two letters; empty where that is not known.
        num_bytes: Bytes of its document.
        score: Score with which it was taken from the queue.
        num_redirects: Redirects that led to it.
        links: Its links in their order; only of pages whose links are followed.
        num_unread_links: Links beyond those that are read from one page; they count as too many.
    """

    url: str
    depth: int
    reason: Reason
    detail: str = ""
    leads_to: str = ""
    title: str = ""
    text: str = ""
    text_digest: str = ""
    sketch: bytes = b""
    language: str = ""
    num_bytes: int = 0
    score: float = 0.0
    num_redirects: int = 0
    links: tuple[FoundLink, ...] = ()
    num_unread_links: int = 0


def row_of(visit: Visit) -> dict[str, Any]:
    """A visit as JSON values, for records in files."""
    return asdict(visit) | {"sketch": visit.sketch.hex()}


def visit_of(row: Mapping[str, Any]) -> Visit:
    """Reads what `row_of` made.

    Raises:
        ValueError: It is of another form.
    """
    try:
        links = tuple(
            FoundLink(**{**link, "reason": Reason(link["reason"])}) for link in row["links"]
        )
        kept = {"reason": Reason(row["reason"]), "sketch": bytes.fromhex(row["sketch"])}
        return Visit(**{**row, **kept, "links": links})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a visit of another form: {error}") from error


class CrawlRecord(Protocol):
    """Where visits are kept; what is kept outlives the process."""

    def finished(self) -> Iterable[Visit]:
        """All visits kept so far, in the order in which they were."""
        ...

    def keep(self, visit: Visit) -> None:
        """Keeps one more."""
        ...
