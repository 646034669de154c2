"""The search tool: batched queries, a few results each, as plain text."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from agents.config import AgentConfig
from agents.snapshots import PageRecorder
from agents.tools.base import Observation, SeenPage
from agents.tools.visit import ReadableWeb
from agents.web.cache import WebCache
from agents.web.search.base import LocalSearch, SearchBackend
from agents.web.search.results import SearchResult

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


class SearchTool:
    """`search` with `{"query": [string, …]}` (WebDancer's schema).

    Args:
        web: What is searched where no back end is given.
        config: Limits.
        recorder: Where the pages of the results are noted; None: nobody asks for them.
        backend: Who answers searches; None: the web itself.
        cache: Where answers are kept and found again; None: in this process.
    """

    name = "search"

    def __init__(
        self,
        web: SearchableWeb,
        config: AgentConfig,
        recorder: PageRecorder | None = None,
        backend: SearchBackend | None = None,
        cache: WebCache | None = None,
    ) -> None:
        self._backend = backend or LocalSearch(web)
        self._config = config
        self._recorder = recorder or PageRecorder()
        # The rollouts of a group repeat each other's queries: they find them here.
        self._cache = cache or WebCache()

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
        asked = [" ".join(query.split()) for query in queries]
        answers = await asyncio.gather(
            *(self._search(query) for query in asked), return_exceptions=True
        )
        shown: dict[str, SeenPage] = {}
        blocks: list[str] = []
        for query, answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            lines = []
            for result in answer:
                if result.url not in shown:
                    text = await self._backend.text_of(result)
                    page = self._recorder.note(result.url, result.title, text)
                    shown[result.url] = SeenPage(result.url, page, query)
                    lines.append(self._line(len(shown), result))
            if lines:
                blocks.append("\n".join(lines))
        return Observation(
            "\n".join(blocks) or NOTHING_FOUND, urls=tuple(shown), pages=tuple(shown.values())
        )

    async def _search(self, query: str) -> list[SearchResult]:
        k = self._config.search_results

        async def ask() -> list[dict[str, str]]:
            return [asdict(result) for result in await self._backend.search(query, k)]

        request = {**self._backend.asked_of, "query": query, "k": k}
        found = await self._cache.get(f"search.{self._backend.name}", request, ask)
        return [SearchResult(**item) for item in found]

    def _line(self, number: int, result: SearchResult) -> str:
        address = f" {result.url}" if self._config.show_urls else ""
        return f"[{number}] {result.title}{address}\n{result.snippet}"
