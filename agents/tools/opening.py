"""Opening a page by its address: in the process, from the local site, or on the open web."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from agents.config import VisitConfig
from agents.fetching.outcomes import FetchedPage, PageProblem, TransientFailure
from agents.tools.base import ToolFailure
from agents.web.html import path_of

NO_SUCH_PAGE = "There is no such page."
NUM_THREADS = 8

Fetch = Callable[[str], Awaitable[FetchedPage]]
"""Fetches the page at an http(s) address; raises PageProblem or TransientFailure."""

Remember = Callable[[str, Mapping[str, Any], Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Gives the answer to a request of some kind, JSON values, asking for it where it is not known."""

_WEB_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


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
class Opened:
    """What became of an address: a page's url, title and text, or why there is none."""

    url: str = ""
    title: str = ""
    text: str = ""
    problem: str = ""


async def _ask_anew(
    kind: str, request: Mapping[str, Any], make: Callable[[], Awaitable[Any]]
) -> Any:
    return await make()


class PageOpener:
    """Opens pages for all tools of a process.

    Args:
        web: Where pages are read in mode `direct`, and addresses resolved in every mode.
        config: Mode and limits.
        site_url: Address of the local web's site, needed in modes `http` and `browser`.
        fetch: Fetches pages in these modes.
        remember: Where fetched pages are kept and found again; None: nowhere.

    Raises:
        ValueError: Mode `http` or `browser` without `site_url` or `fetch`.
    """

    def __init__(
        self,
        web: ReadableWeb,
        config: VisitConfig,
        site_url: str | None = None,
        fetch: Fetch | None = None,
        remember: Remember | None = None,
    ) -> None:
        if config.mode != "direct" and (site_url is None or fetch is None):
            raise ValueError(
                f"agents.visit.mode is {config.mode!r} but there is no site to fetch from"
            )
        self._web = web
        self._config = config
        self._site_url = site_url or ""
        self._fetch = None if config.mode == "direct" else fetch
        self._remember = remember or _ask_anew
        # Another local web may have another page at the same address.
        self._state = str(getattr(web, "digest", ""))
        self._threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="visit")

    async def open(self, address: str) -> Opened:
        """Opens the page at an address, path or title.

        Raises:
            ToolFailure: It could not be read, for reasons outside the policy.
        """
        loop = asyncio.get_running_loop()
        page = await loop.run_in_executor(self._threads, self._web.page, address)
        if self._fetch is None:
            if page is None:
                return Opened(problem=NO_SUCH_PAGE)
            return Opened(page.url, page.title, page.text)
        if page is None:
            return await self._open_live(address, self._fetch)
        url = self._site_url + path_of(page.url)
        found = await self._fetched(page.url, url, self._fetch, self._state)
        if found.problem:
            # The page is there: whatever its site says, the policy has done nothing wrong.
            raise ToolFailure(f"could not read {page.url} from its site: {found.problem}")
        return Opened(page.url, found.title or page.title, found.text)

    async def open_all(self, addresses: list[str]) -> list[Opened]:
        """Opens several pages at once; see `open`.

        All are waited for: a call that fails leaves nothing running behind it.
        """
        found = await asyncio.gather(*map(self.open, addresses), return_exceptions=True)
        opened: list[Opened] = []
        for page in found:
            if isinstance(page, BaseException):
                raise page
            opened.append(page)
        return opened

    async def _open_live(self, address: str, fetch: Fetch) -> Opened:
        if not self._config.live or not _WEB_ADDRESS.match(address):
            return Opened(problem=NO_SUCH_PAGE)
        found = await self._fetched(address, address, fetch, "")
        if found.problem:
            return Opened(problem=f"This page cannot be read: {found.problem}.")
        return found

    async def _fetched(self, name: str, url: str, fetch: Fetch, state: str) -> Opened:
        """Fetches a page; a definite no is an answer as well, and kept like one.

        Args:
            name: Address that names the page, whatever the site's port is today.
            url: Where to fetch it.
            fetch: Fetches it.
            state: Digest of the local web that it is a page of; empty for the open web.
        """

        async def ask() -> dict[str, str]:
            try:
                page = await fetch(url)
            except PageProblem as problem:
                return asdict(Opened(problem=str(problem)))
            except TransientFailure as failure:
                raise ToolFailure(f"could not read {name}: {failure}") from failure
            return asdict(Opened(page.url, page.title, page.text))

        config = self._config
        request = {
            "url": name,
            "mode": config.mode,
            "max_bytes": config.max_page_bytes,
            "web": state,
        }
        return Opened(**await self._remember("page", request, ask))
