"""The search tool: batched queries, a few results each, as plain text."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from agents.config import AgentConfig
from agents.snapshots import PageRecorder
from agents.tools.base import Observation, SeenPage
from agents.tools.visit import ReadableWeb

CACHED_QUERIES = 8192
NOTHING_FOUND = "Nothing found."


class Hit(Protocol):
    """One search result."""

    @property
    def url(self) -> str:
        """Address of the page."""
        ...

    @property
    def title(self) -> str:
        """Title of the page."""
        ...

    @property
    def snippet(self) -> str:
        """The passage that fits the query best."""
        ...


class SearchableWeb(ReadableWeb, Protocol):
    """A web that can be searched, and whose pages can be read."""

    def search(self, query: str, k: int) -> Sequence[Hit]:
        """The `k` best hits, best first."""
        ...


@dataclass(frozen=True, slots=True)
class _Result:
    """A hit, with the page that its snippet was taken from."""

    hit: Hit
    text: str


class SearchTool:
    """`search` with `{"query": [string, …]}` (WebDancer's schema).

    Args:
        web: What is searched.
        config: Limits.
        recorder: Where the pages of the results are noted; None: nobody asks for them.
    """

    name = "search"

    def __init__(
        self, web: SearchableWeb, config: AgentConfig, recorder: PageRecorder | None = None
    ) -> None:
        self._web = web
        self._config = config
        self._recorder = recorder or PageRecorder()
        # One thread: the index is not asked to be thread-safe, the event loop stays free, and
        # the rollouts of a group, which repeat each other's queries, find them in the cache.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._cached = lru_cache(CACHED_QUERIES)(self._search)

    @property
    def schema(self) -> Mapping[str, Any]:
        """JSON schema of its arguments."""
        return {
            "name": self.name,
            "description": f"Searches the web with one or more queries and returns the "
            f"{self._config.search_results} best results of each.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": f"Up to {self._config.search_queries} queries that "
                        "complement each other.",
                    }
                },
                "required": ["query"],
            },
        }

    async def __call__(self, arguments: Mapping[str, Any]) -> Observation:
        """Searches; each page is shown once, numbered over all queries."""
        queries = arguments.get("query")
        if isinstance(queries, str):
            queries = [queries]
        most = self._config.search_queries
        if (
            set(arguments) != {"query"}
            or not isinstance(queries, list)
            or not all(isinstance(query, str) and query.strip() for query in queries)
            or not 1 <= len(queries) <= most
        ):
            error = f'search takes {{"query": [...]}} with 1 to {most} texts'
            return Observation(f"Error: {error}.", error=error)
        loop = asyncio.get_running_loop()
        shown: dict[str, SeenPage] = {}
        blocks: list[str] = []
        for query in queries:
            asked = " ".join(query.split())
            lines = []
            for result in await loop.run_in_executor(self._thread, self._cached, asked):
                hit = result.hit
                if hit.url not in shown:
                    page = self._recorder.note(hit.url, hit.title, result.text)
                    shown[hit.url] = SeenPage(hit.url, page, asked)
                    lines.append(self._line(len(shown), hit))
            if lines:
                blocks.append("\n".join(lines))
        return Observation(
            "\n".join(blocks) or NOTHING_FOUND, urls=tuple(shown), pages=tuple(shown.values())
        )

    def _search(self, query: str) -> tuple[_Result, ...]:
        results = []
        for hit in self._web.search(query, self._config.search_results):
            page = self._web.page(hit.url)
            # Of a page that the web cannot give, the snippet is all that was ever seen.
            results.append(_Result(hit, hit.snippet if page is None else page.text))
        return tuple(results)

    def _line(self, number: int, hit: Hit) -> str:
        address = f" {hit.url}" if self._config.show_urls else ""
        return f"[{number}] {hit.title}{address}\n{hit.snippet}"
