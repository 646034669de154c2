"""A hostile server, and readers that are let at it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hostile_server import HostileServer, OpenWeb

from agents.config import VisitConfig
from agents.fetching.reader import PageReader

FAST = {"retry_wait_s": 0.0, "interval_s": 0.0, "robots": False, "timeout_s": 5.0, "live": True}


@pytest.fixture
def hostile(open_web: OpenWeb) -> Iterator[HostileServer]:
    with HostileServer() as server:
        open_web.add(server)
        yield server


@pytest.fixture(scope="session")
def open_web() -> OpenWeb:
    return OpenWeb()


@pytest.fixture(scope="session")
def kept_readers() -> Iterator[dict[str, PageReader]]:
    """Readers with the usual configuration, by mode: starting workers and browsers takes time."""
    readers: dict[str, PageReader] = {}
    yield readers
    for reader in readers.values():
        reader.close()


@pytest.fixture
def reader_of(kept_readers: dict[str, PageReader], open_web: OpenWeb) -> Iterator[Any]:
    """Gives readers that may reach the hostile server."""
    own = []

    def make(mode: str = "http", **changes: Any) -> PageReader:
        config = VisitConfig.model_validate({"mode": mode, **FAST, **changes})
        if not changes:
            if mode not in kept_readers:
                kept_readers[mode] = PageReader(config, guard=open_web)
            return kept_readers[mode]
        own.append(PageReader(config, guard=open_web))
        return own[-1]

    yield make
    for reader in own:
        reader.close()


@pytest.fixture
def read(reader_of: Any, hostile: HostileServer) -> Any:
    """Reads one page of the hostile server."""

    def run(path: str, mode: str = "http", **changes: Any) -> Any:
        reader = reader_of(mode, **changes)
        return asyncio.run(reader.fetch(hostile.url + path))

    return run
