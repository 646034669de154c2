"""Snapshots of the pages that tools showed: named by content, kept once, whoever saw them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock


@dataclass(frozen=True, slots=True)
class PageSnapshot:
    """A page as a tool read it.

    Attributes:
        page: Digest over url, title and text; equal snapshots are one.
        url: Canonical address.
        title: Title.
        text: Plain text, whole.
        text_digest: SHA-256 of the text alone, which copies under other addresses share.
        fetched_at: When it was first read here, ISO 8601 in UTC; outside every digest.
    """

    page: str
    url: str
    title: str
    text: str
    text_digest: str
    fetched_at: str


class PageRecorder:
    """Collects the pages that the tools of a process show; safe to use from several threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], str] = {}
        self._new: list[PageSnapshot] = []
        self._lock = Lock()

    def note(self, url: str, title: str, text: str) -> str:
        """Keeps a page, and returns the digest that names this state of it."""
        content = (url, title, text)
        with self._lock:
            digest = self._known.get(content)
            if digest is None:
                snapshot = _snapshot(*(_storable(part) for part in content))
                digest = self._known[content] = snapshot.page
                self._new.append(snapshot)
        return digest

    def drain(self) -> list[PageSnapshot]:
        """The snapshots that are new since the last call, in the order they were noted."""
        with self._lock:
            drained, self._new = self._new, []
        return drained


def _snapshot(url: str, title: str, text: str) -> PageSnapshot:
    content = json.dumps([url, title, text], ensure_ascii=False).encode()
    return PageSnapshot(
        page=hashlib.sha256(content).hexdigest(),
        url=url,
        title=title,
        text=text,
        text_digest=hashlib.sha256(text.encode()).hexdigest(),
        fetched_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def _storable(text: str) -> str:
    """A text without lone surrogates, which neither UTF-8 nor Parquet can hold."""
    return text.encode("utf-8", "replace").decode()
