"""The visit tool: reads pages for a goal, from the local web, its site, or the open web."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

from agents.config import AgentConfig
from agents.fetching.outcomes import FetchedPage, PageProblem, TransientFailure
from agents.snapshots import PageRecorder
from agents.tools.base import Observation, SeenPage, ToolFailure
from agents.tools.passages import select_passages
from agents.web.html import path_of

NUM_THREADS = 8
NO_SUCH_PAGE = "There is no such page."

_WEB_ADDRESS = re.compile(r"https?://", re.IGNORECASE)

P = ParamSpec("P")
T = TypeVar("T")


Fetch = Callable[[str], Awaitable[FetchedPage]]
"""Fetches the page at an http(s) address; raises PageProblem or TransientFailure."""


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


@dataclass(frozen=True, slots=True)
class _Read:
    """What became of one address: a page's url, title and text, or why there is none."""

    url: str = ""
    title: str = ""
    text: str = ""
    problem: str = ""


class VisitTool:
    """`visit` with `{"url": string | [string, …], "goal": string}` (WebDancer's schema).

    Args:
        web: Where pages are read in mode `direct`, and addresses resolved in every mode.
        config: Limits and mode.
        site_url: Address of the local web's site, needed in modes `http` and `browser`.
        fetch: Fetches pages in these modes.
        recorder: Where the pages are noted as they were read; None: nobody asks for them.

    Raises:
        ValueError: Mode `http` or `browser` without `site_url` or `fetch`.
    """

    name = "visit"

    def __init__(
        self,
        web: ReadableWeb,
        config: AgentConfig,
        site_url: str | None = None,
        fetch: Fetch | None = None,
        recorder: PageRecorder | None = None,
    ) -> None:
        self._web = web
        self._recorder = recorder or PageRecorder()
        self._config = config.visit
        self._site_url = site_url or ""
        self._fetch: Fetch | None = None
        if config.visit.mode != "direct":
            if site_url is None or fetch is None:
                raise ValueError(
                    f"agents.visit.mode is {config.visit.mode!r} but there is no site to fetch from"
                )
            self._fetch = fetch
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
        # All are waited for: a call that fails leaves nothing running behind it.
        pages = await asyncio.gather(
            *(self._read(url.strip()) for url in urls), return_exceptions=True
        )
        texts = []
        visited: dict[str, SeenPage] = {}
        problems = []
        for asked, page in zip(urls, pages, strict=True):
            if isinstance(page, BaseException):
                raise page
            if page.problem:
                problems.append(page.problem)
                texts.append(f"{asked.strip()}: {page.problem}")
                continue
            seen = SeenPage(page.url, self._recorder.note(page.url, page.title, page.text), goal)
            visited.setdefault(page.url, seen)
            passage = await self._in_thread(
                select_passages, page.text, goal, self._config.max_words
            )
            # A single page is known by its address, and its first sentence names it.
            texts.append(f"{page.title}\n{passage}" if len(urls) > 1 else passage)
        error = "" if visited else problems[0]
        return Observation(
            "\n".join(texts), urls=tuple(visited), error=error, pages=tuple(visited.values())
        )

    async def _read(self, address: str) -> _Read:
        page = await self._in_thread(self._web.page, address)
        if page is None:
            return await self._read_live(address)
        if self._fetch is None:
            return _Read(page.url, page.title, page.text)
        try:
            fetched = await self._fetch(self._site_url + path_of(page.url))
        except (PageProblem, TransientFailure) as failure:
            # The page is there: whatever its site says, the policy has done nothing wrong.
            raise ToolFailure(f"could not read {page.url} from its site: {failure}") from failure
        return _Read(page.url, fetched.title or page.title, fetched.text)

    async def _read_live(self, address: str) -> _Read:
        if not self._config.live or self._fetch is None or not _WEB_ADDRESS.match(address):
            return _Read(problem=NO_SUCH_PAGE)
        try:
            fetched = await self._fetch(address)
        except PageProblem as problem:
            return _Read(problem=f"This page cannot be read: {problem}.")
        except TransientFailure as failure:
            raise ToolFailure(f"could not read {address}: {failure}") from failure
        return _Read(fetched.url, fetched.title, fetched.text)

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(call, *args, **kwargs))
