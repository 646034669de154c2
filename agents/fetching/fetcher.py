"""One page, fetched with patience and manners: redirects, retries, pauses, robots.txt."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agents.config import VisitConfig
from agents.fetching.guard import Guard, Origin
from agents.fetching.hosts import HostGates
from agents.fetching.http_source import PageSource, Redirect
from agents.fetching.outcomes import (
    CircuitOpen,
    FetchedPage,
    PageRefused,
    TransientFailure,
)
from agents.fetching.robots import Robots

_GRACE_S = 0.25

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class Fetcher:
    """Fetches pages from a source.

    Args:
        source: Reads a page once.
        guard: Decides where we go; its allow-listed origins are ours, and need no manners.
        robots: The sites' rules; None: they are not kept.
        config: Limits.
        sleep: Waits; tests bring their own.
    """

    def __init__(
        self,
        source: PageSource,
        guard: Guard,
        robots: Robots | None,
        config: VisitConfig,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._source = source
        self._guard = guard
        self._robots = robots
        self._config = config
        self._sleep = sleep
        self._gates = HostGates(config.max_per_host, config.host_failures, config.host_rest_s)

    async def fetch(self, url: str) -> FetchedPage:
        """Fetches a page.

        Raises:
            PageProblem: It cannot be read, now or later.
            TransientFailure: It could not be read this time, retries included.
        """
        return await self._in_time(lambda ends: self._follow(url, ends))

    async def fetch_here(self, url: str) -> FetchedPage | Redirect:
        """Fetches what is at an address, following no redirect; see `fetch`."""
        return await self._in_time(lambda ends: self._with_retries(url, ends))

    async def pause_s(self, url: str) -> float:
        """Seconds to be kept between two visits to a page's host, by us and by its robots.txt.

        Raises:
            PageProblem: The page may not be visited.
            TransientFailure: Its robots.txt cannot be read now.
        """
        origin = self._guard.check_url(url)
        return await self._in_time(lambda _: self._interval(url, origin))

    async def _in_time(self, work: Callable[[float], Awaitable[T]]) -> T:
        """Awaits work that is told when it has to end."""
        limit_s = self._config.timeout_s
        ends = asyncio.get_running_loop().time() + limit_s
        try:
            # An attempt ends by itself in time; this is for what waits before one.
            async with asyncio.timeout_at(ends + _GRACE_S) as deadline:
                return await work(ends)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise TransientFailure(f"it was not read within {limit_s:g} s") from error

    async def _follow(self, url: str, ends: float) -> FetchedPage:
        seen: set[str] = set()
        while len(seen) <= self._config.max_redirects:
            if url in seen:
                raise PageRefused("its redirects lead in a circle")
            seen.add(url)
            found = await self._with_retries(url, ends)
            if isinstance(found, FetchedPage):
                if found.url != url:
                    # A browser follows redirects by itself; the proxy has checked addresses.
                    await self._interval(found.url, self._guard.check_url(found.url))
                return found
            url = found.url
        raise PageRefused(f"it redirects more than {self._config.max_redirects} times")

    async def _with_retries(self, url: str, ends: float) -> FetchedPage | Redirect:
        for attempt in range(self._config.retries + 1):
            try:
                return await self._attempt(url, ends)
            except CircuitOpen:
                raise
            except TransientFailure as failure:
                if attempt == self._config.retries:
                    raise
                wait_s = self._config.retry_wait_s * 2**attempt * random.uniform(0.5, 1.5)
                wait_s = max(wait_s, failure.retry_after_s or 0.0)
                if asyncio.get_running_loop().time() + wait_s >= ends:
                    raise
                await self._sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, url: str, ends: float) -> FetchedPage | Redirect:
        origin = self._guard.check_url(url)
        interval_s = await self._interval(url, origin)
        async with self._gates.enter(origin, interval_s):
            try:
                async with asyncio.timeout_at(ends) as deadline:
                    return await self._source.read(url)
            except TimeoutError as error:
                if not deadline.expired():
                    raise
                # Told to the gate as well: a host that never answers is to be left alone.
                raise TransientFailure(
                    f"it was not read within {self._config.timeout_s:g} s"
                ) from error

    async def _interval(self, url: str, origin: Origin) -> float:
        """Seconds between two visits to a host, after robots.txt was asked about this one."""
        if self._guard.is_allowed(origin):
            return 0.0
        if self._robots is None:
            return self._config.interval_s
        self._gates.check(origin)
        try:
            asked_s = await self._robots.check(url)
        except TransientFailure:
            self._gates.note_failure(origin)
            raise
        return max(self._config.interval_s, asked_s)
