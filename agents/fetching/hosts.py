"""Manners towards hosts: few connections, pauses between requests, and rest after failures."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agents.fetching.guard import Origin
from agents.fetching.outcomes import CircuitOpen, TransientFailure

_MOST_HOSTS = 4096


@dataclass(slots=True)
class _Host:
    places: asyncio.Semaphore
    next_at: float = 0.0
    num_failures: int = 0
    rests_until: float = 0.0
    num_users: int = field(default=0)


class HostGates:
    """One gate for each host, through which every request to it goes.

    Args:
        max_per_host: Most requests to one host at once.
        max_failures: Failures in a row after which a host is left alone; see `rest_s`.
        rest_s: Seconds for which it is left alone. The first request after them is a trial: if it
            fails as well, the host rests again.
        clock: Seconds that only grow; tests bring their own.
    """

    def __init__(
        self,
        max_per_host: int,
        max_failures: int,
        rest_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_per_host = max_per_host
        self._max_failures = max_failures
        self._rest_s = rest_s
        self._clock = clock
        self._hosts: OrderedDict[tuple[str, int], _Host] = OrderedDict()

    @asynccontextmanager
    async def enter(self, origin: Origin, interval_s: float) -> AsyncIterator[None]:
        """Waits for a place and for the host's pause, and notes how the block inside ends.

        Args:
            origin: The host.
            interval_s: Least seconds between the beginnings of two requests to it.

        Raises:
            CircuitOpen: The host rests.
        """
        host = self._host(origin)
        host.num_users += 1
        try:
            async with host.places:
                self.check(origin)
                await self._pause(host, interval_s)
                self.check(origin)
                try:
                    yield
                except TransientFailure:
                    self.note_failure(origin)
                    raise
                except asyncio.CancelledError:
                    raise
                except BaseException:
                    # A definite no is an answer as well.
                    host.num_failures = 0
                    raise
                host.num_failures = 0
        finally:
            host.num_users -= 1

    def check(self, origin: Origin) -> None:
        """Checks that a host does not rest.

        Raises:
            CircuitOpen: It does.
        """
        host = self._host(origin)
        left = host.rests_until - self._clock()
        if left > 0:
            raise CircuitOpen(
                f"{origin.host} failed {host.num_failures} times in a row and is left alone for "
                f"{left:.0f} s"
            )

    def note_failure(self, origin: Origin) -> None:
        """Counts a failure; after too many in a row the host rests."""
        host = self._host(origin)
        host.num_failures += 1
        if host.num_failures >= self._max_failures:
            host.rests_until = self._clock() + self._rest_s

    async def _pause(self, host: _Host, interval_s: float) -> None:
        now = self._clock()
        begins = max(now, host.next_at)
        host.next_at = begins + interval_s
        if begins > now:
            await asyncio.sleep(begins - now)

    def _host(self, origin: Origin) -> _Host:
        key = origin.host, origin.port
        host = self._hosts.pop(key, None)
        if host is None:
            host = _Host(asyncio.Semaphore(self._max_per_host))
        self._hosts[key] = host
        if len(self._hosts) > _MOST_HOSTS:
            idle = next((k for k, h in self._hosts.items() if h.num_users == 0 and k != key), None)
            if idle is not None:
                del self._hosts[idle]
        return host
