"""The visit tool: reads pages for a goal, from the local web or over HTTP from its site."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from agents.config import AgentConfig
from agents.snapshots import PageRecorder
from agents.tools.base import Observation, SeenPage
from agents.tools.page_fetcher import PageFetcher
from agents.tools.passages import select_passages
from agents.web.cache import WebCache

NUM_THREADS = 8
NO_SUCH_PAGE = "There is no such page."


class WebPage(Protocol):
    """A page as it is read."""

    @property
    def url(self) -> str:
        """Canonical address."""
        ...

    @property
    def title(self) -> str:
        """Title."""
        ...

    @property
    def text(self) -> str:
        """Plain text."""
        ...


class ReadableWeb(Protocol):
    """A web whose pages can be read."""

    def page(self, url: str) -> WebPage | None:
        """The page at an address, path or title; None where there is none."""
        ...


class VisitTool:
    """`visit` with `{"url": string | [string, …], "goal": string}` (WebDancer's schema).

    Args:
        web: Where pages are read in mode `direct`, and addresses resolved in both modes.
        config: Limits and mode.
        base_url: Address of the local web's site, needed in mode `http`.
        recorder: Where the pages are noted as they were read; None: nobody asks for them.
        cache: Where fetched pages are kept and found again; None: in this process.

    Raises:
        ValueError: Mode `http` without `base_url`.
    """

    name = "visit"

    def __init__(
        self,
        web: ReadableWeb,
        config: AgentConfig,
        base_url: str | None = None,
        recorder: PageRecorder | None = None,
        cache: WebCache | None = None,
    ) -> None:
        self._web = web
        self._cache = cache or WebCache()
        # Another local web may have another page at the same address.
        self._state = str(getattr(web, "digest", ""))
        self._recorder = recorder or PageRecorder()
        self._config = config.visit
        self._fetcher: PageFetcher | None = None
        if config.visit.mode == "http":
            if base_url is None:
                raise ValueError("agents.visit.mode is 'http' but there is no site to fetch from")
            self._fetcher = PageFetcher(
                base_url, config.tool_timeout_s, config.visit.max_page_bytes
            )
        self._threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="visit")

    @property
    def schema(self) -> Mapping[str, Any]:
        """JSON schema of its arguments."""
        return {
            "name": self.name,
            "description": "Visits one or more web pages and returns what they say about a goal.",
            "parameters": {
                "type": "object",
                "properties": {
                    "url": {
                        "type": ["string", "array"],
                        "items": {"type": "string"},
                        "description": f"One address, or up to {self._config.max_urls}.",
                    },
                    "goal": {"type": "string", "description": "What to look for on the pages."},
                },
                "required": ["url", "goal"],
            },
        }

    async def __call__(self, arguments: Mapping[str, Any]) -> Observation:
        """Reads the pages; one that does not exist is said to be missing."""
        urls, goal = arguments.get("url"), arguments.get("goal")
        if isinstance(urls, str):
            urls = [urls]
        most = self._config.max_urls
        if (
            set(arguments) != {"url", "goal"}
            or not isinstance(goal, str)
            or not isinstance(urls, list)
            or not all(isinstance(url, str) and url.strip() for url in urls)
            or not 1 <= len(urls) <= most
        ):
            error = f'visit takes {{"url": ..., "goal": "..."}} with 1 to {most} addresses'
            return Observation(f"Error: {error}.", error=error)
        pages = await asyncio.gather(*(self._read(url.strip()) for url in urls))
        texts = []
        visited: dict[str, SeenPage] = {}
        for asked, page in zip(urls, pages, strict=True):
            if page is None:
                texts.append(f"{asked.strip()}: {NO_SUCH_PAGE}")
            else:
                url, title, text = page
                seen = SeenPage(url, self._recorder.note(url, title, text), goal)
                visited.setdefault(url, seen)
                passage = select_passages(text, goal, self._config.max_words)
                # A single page is known by its address, and its first sentence names it.
                texts.append(f"{title}\n{passage}" if len(urls) > 1 else passage)
        error = "" if visited else NO_SUCH_PAGE
        return Observation(
            "\n".join(texts), urls=tuple(visited), error=error, pages=tuple(visited.values())
        )

    async def _read(self, address: str) -> tuple[str, str, str] | None:
        loop, fetcher = asyncio.get_running_loop(), self._fetcher
        page = await loop.run_in_executor(self._threads, self._web.page, address)
        if page is None or fetcher is None:
            return None if page is None else (page.url, page.title, page.text)
        title, text = await self._cache.get(
            "page",
            {"url": page.url, "max_bytes": self._config.max_page_bytes, "web": self._state},
            lambda: loop.run_in_executor(self._threads, fetcher.fetch, page.url),
        )
        return page.url, title or page.title, text
