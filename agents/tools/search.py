"""The search tool: batched queries, a few results each, as plain text."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol

from agents.config import AgentConfig
from agents.tools.base import Observation

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


class SearchableWeb(Protocol):
    """A web that can be searched."""

    def search(self, query: str, k: int) -> Sequence[Hit]:
        """The `k` best hits, best first."""
        ...


class SearchTool:
    """`search` with `{"query": [string, …]}` (WebDancer's schema)."""

    name = "search"

    def __init__(self, web: SearchableWeb, config: AgentConfig) -> None:
        self._config = config
        # One thread: the index is not asked to be thread-safe, the event loop stays free, and
        # the rollouts of a group, which repeat each other's queries, find them in the cache.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._cached = lru_cache(CACHED_QUERIES)(
            lambda query: tuple(web.search(query, config.search_results))
        )

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
        shown: dict[str, str] = {}
        blocks: list[str] = []
        for query in queries:
            hits = await loop.run_in_executor(self._thread, self._cached, " ".join(query.split()))
            lines = []
            for hit in hits:
                if hit.url not in shown:
                    shown[hit.url] = self._line(len(shown) + 1, hit)
                    lines.append(shown[hit.url])
            if lines:
                blocks.append("\n".join(lines))
        return Observation("\n".join(blocks) or NOTHING_FOUND, urls=tuple(shown))

    def _line(self, number: int, hit: Hit) -> str:
        address = f" {hit.url}" if self._config.show_urls else ""
        return f"[{number}] {hit.title}{address}\n{hit.snippet}"
