"""robots.txt (RFC 9309): what a site asks crawlers to leave alone, and how fast to come."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from protego import Protego

from agents.fetching.guard import Guard, Origin, origin_of
from agents.fetching.http_source import HttpSource, Redirect
from agents.fetching.outcomes import PageProblem, RobotsRefused, TransientFailure

AGENT = "evolvesearch"
"""Name by which robots.txt addresses us."""

_MAX_BYTES = 500_000
_MAX_REDIRECTS = 5
_KEPT_S = 3600.0
_MOST_SITES = 4096
_LONGEST_DELAY_S = 30.0


@dataclass(frozen=True, slots=True)
class _Rules:
    parsed: Protego
    read_at: float


class Robots:
    """The rules of sites, each read once an hour.

    Args:
        source: Fetches the files.
        guard: Checks where their redirects lead.
        clock: Seconds that only grow.
    """

    def __init__(
        self, source: HttpSource, guard: Guard, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._guard = guard
        self._clock = clock
        self._rules: OrderedDict[Origin, _Rules] = OrderedDict()
        self._reading: dict[Origin, asyncio.Lock] = {}

    async def check(self, url: str) -> float:
        """Checks that a page may be fetched.

        Returns:
            Seconds that the site asks for between two requests, 0 where it does not.

        Raises:
            RobotsRefused: The site asks us not to.
            TransientFailure: Its rules cannot be read now, and so may forbid it.
        """
        origin = origin_of(url)
        lock = self._reading.setdefault(origin, asyncio.Lock())
        try:
            async with lock:
                rules = await self._of(origin)
        finally:
            if not lock.locked():
                self._reading.pop(origin, None)
        if not rules.can_fetch(url, AGENT):
            raise RobotsRefused("the site's robots.txt asks not to visit it")
        return min(float(rules.crawl_delay(AGENT) or 0.0), _LONGEST_DELAY_S)

    async def _of(self, origin: Origin) -> Protego:
        known = self._rules.get(origin)
        if known is None or self._clock() - known.read_at > _KEPT_S:
            known = _Rules(Protego.parse(await self._read(origin)), self._clock())
            self._rules[origin] = known
            if len(self._rules) > _MOST_SITES:
                self._rules.popitem(last=False)
        return known.parsed

    async def _read(self, origin: Origin) -> str:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        url = f"{origin.scheme}://{host}:{origin.port}/robots.txt"
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                got, body = await self._source.get(url, _MAX_BYTES)
            except PageProblem:
                # A file that is none, or lies where we do not go, is as good as absent.
                return ""
            status = got.status_code
            if status >= 500 or status == 429:
                raise TransientFailure(f"robots.txt of {origin.host} answered {status}")
            moved = (
                Redirect(str(got.url.join(got.headers["location"])))
                if (got.has_redirect_location)
                else None
            )
            if moved is None:
                return body.decode("utf-8", errors="replace") if status == 200 else ""
            url = moved.url
        return ""
