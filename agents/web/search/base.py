"""The protocol of search back ends, and the local index as one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from agents.web.search.results import SearchResult

_KEPT_TEXTS = 8192


class SearchBackend(Protocol):
    """Answers searches; one instance serves all rollouts of a process."""

    @property
    def name(self) -> str:
        """Name of the provider."""
        ...

    @property
    def asked_of(self) -> Mapping[str, Any]:
        """What an answer depends on beside query and number of results, JSON values."""
        ...

    async def search(self, query: str, k: int) -> list[SearchResult]:
        """The `k` best results, best first; none where nothing is found.

        Raises:
            ToolFailure: The provider did not answer.
            StoppedError: The budget does not allow the call.
        """
        ...

    async def text_of(self, result: SearchResult) -> str:
        """What is known of a result's page, for its snapshot."""
        ...


class _Hit(Protocol):
    @property
    def url(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def snippet(self) -> str: ...


class _Page(Protocol):
    @property
    def text(self) -> str: ...


class _SearchableWeb(Protocol):
    def search(self, query: str, k: int) -> Sequence[_Hit]: ...

    def page(self, url: str) -> _Page | None: ...


class LocalSearch:
    """The local web's own index, in this process.

    Args:
        web: What is searched.
        asked_of: What names this web's state, such as its digest.
    """

    name = "local"

    def __init__(self, web: _SearchableWeb, asked_of: Mapping[str, Any] | None = None) -> None:
        self.asked_of: Mapping[str, Any] = dict(asked_of or {})
        self._web = web
        # One thread: the index is not asked to be thread-safe, and the event loop stays free.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._texts: dict[str, str | None] = {}

    async def search(self, query: str, k: int) -> list[SearchResult]:
        """The `k` best pages."""
        loop = asyncio.get_running_loop()
        hits = await loop.run_in_executor(self._thread, self._web.search, query, k)
        return [SearchResult(hit.url, hit.title, hit.snippet) for hit in hits]

    async def text_of(self, result: SearchResult) -> str:
        """The page's text."""
        if result.url not in self._texts:
            loop = asyncio.get_running_loop()
            page = await loop.run_in_executor(self._thread, self._web.page, result.url)
            if len(self._texts) >= _KEPT_TEXTS:
                del self._texts[next(iter(self._texts))]
            self._texts[result.url] = None if page is None else page.text
        text = self._texts[result.url]
        # Of a page that the web cannot give, the snippet is all that was ever seen.
        return result.snippet if text is None else text
