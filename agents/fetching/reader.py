"""The page reader of a process: everything that fetches, opened and closed as one."""

from __future__ import annotations

from contextlib import AsyncExitStack
from threading import Lock
from types import TracebackType

from agents.config import VisitConfig
from agents.fetching.background import BackgroundLoop
from agents.fetching.browser_source import BrowserSource
from agents.fetching.extraction import Extractor
from agents.fetching.fetcher import Fetcher
from agents.fetching.guard import Guard
from agents.fetching.http_source import HttpSource, PageSource
from agents.fetching.outcomes import FetchedPage
from agents.fetching.robots import Robots


class PageReader:
    """Fetches pages for callers in any event loop; nothing is opened before the first page.

    Args:
        config: Mode (`http` or `browser`) and limits.
        site_url: Address of the local web's site; None: there is none.
        guard: Decides where connections may go; None: one that allows the site and
            `config.allow_origins` beside the public internet.
    """

    def __init__(
        self, config: VisitConfig, site_url: str | None = None, guard: Guard | None = None
    ) -> None:
        self._config = config
        self._site_url = site_url
        site = [] if site_url is None else [site_url]
        self._guard = guard or Guard([*site, *config.allow_origins])
        self._lock = Lock()
        self._loop: BackgroundLoop | None = None
        self._closing = AsyncExitStack()
        self._fetcher: Fetcher | None = None

    async def fetch(self, url: str) -> FetchedPage:
        """Fetches a page.

        Raises:
            PageProblem: It cannot be read, now or later; the policy may be told why.
            TransientFailure: It could not be read this time, for reasons outside the policy.
        """
        return await self._background().run(self._fetch(url))

    def close(self) -> None:
        """Ends connections, workers and the browser."""
        with self._lock:
            loop, self._loop, self._fetcher = self._loop, None, None
        if loop is not None:
            try:
                loop.wait_for(self._closing.aclose())
            finally:
                loop.close()

    def __enter__(self) -> PageReader:
        """Opens nothing yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the reader."""
        self.close()

    def _background(self) -> BackgroundLoop:
        with self._lock:
            if self._loop is None:
                self._loop = BackgroundLoop("page reader")
            return self._loop

    async def _fetch(self, url: str) -> FetchedPage:
        # Without an await in between: two first pages do not both open the sources.
        if self._fetcher is None:
            self._fetcher = self._open()
        return await self._fetcher.fetch(url)

    def _open(self) -> Fetcher:
        return open_fetcher(self._config, self._guard, self._site_url, self._closing)


def open_fetcher(
    config: VisitConfig,
    guard: Guard,
    site_url: str | None,
    closing: AsyncExitStack,
    outlines: bool = False,
) -> Fetcher:
    """Opens a fetcher with all that it needs, in the event loop in which it will be used.

    Args:
        config: Mode (`browser`; any other is `http`) and limits.
        guard: Decides where connections may go.
        site_url: Address of the local web's site, whose pages are read in this process; None:
            there is none.
        closing: Where the ends of connections, workers and browser are noted.
        outlines: Whether pages come with their outline.
    """
    extractor = Extractor(site_url, config.extraction_s, outlines=outlines)
    closing.push_async_callback(extractor.close)
    plain = HttpSource(guard, config, extractor)
    closing.push_async_callback(plain.close)
    source: PageSource = plain
    if config.mode == "browser":
        source = BrowserSource(guard, config, extractor, plain, site_url)
        closing.push_async_callback(source.close)
    robots = Robots(plain, guard) if config.robots else None
    return Fetcher(source, guard, robots, config)
