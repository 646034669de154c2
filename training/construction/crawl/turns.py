"""Whose turn it is: hosts with too many visits under way, or visited a moment ago, have to wait.

Waiting is done here, before a page is taken from the queue, so that one slow host holds up no other
and a page's time limit does not run while it waits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

_MOST_RESTS = 3
"""Rests in a row after which a host is given up for this part of a crawl."""


@dataclass(slots=True)
class _Host:
    num_running: int = 0
    num_rests: int = 0
    rests_until: float = 0.0
    pause_s: float | None = None
    free_at: float = 0.0


class Turns:
    """The hosts of one crawl.

    Args:
        max_per_host: Most visits to one host at once.
        clock: Seconds that only grow.
    """

    def __init__(self, max_per_host: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_per_host = max_per_host
        self._clock = clock
        self._hosts: dict[str, _Host] = {}

    def begin(self, host: str) -> None:
        """A visit to a host begins."""
        known = self._hosts.setdefault(host, _Host())
        known.num_running += 1
        known.free_at = max(known.free_at, self._clock() + (known.pause_s or 0.0))

    def keep_distance(self, host: str, pause_s: float) -> None:
        """Seconds are to lie between the beginnings of two visits to a host."""
        known = self._hosts[host]
        known.pause_s = pause_s
        known.free_at = max(known.free_at, self._clock() + pause_s)

    def rest(self, host: str, seconds: float) -> None:
        """A host keeps failing: it is left alone for a while, and after some rests for good."""
        known = self._hosts[host]
        now = self._clock()
        # Several visits may notice the same rest.
        if known.rests_until <= now:
            known.num_rests += 1
            known.rests_until = now + seconds
        given_up = known.num_rests > _MOST_RESTS
        known.free_at = math.inf if given_up else max(known.free_at, now + seconds)

    def end(self, host: str, answered: bool) -> None:
        """A visit to a host has ended; `answered`: with an answer of whatever kind."""
        known = self._hosts[host]
        known.num_running -= 1
        if answered:
            known.num_rests = 0

    def blocked(self) -> list[str]:
        """Hosts whose turn it is not.

        Until the first visit has told how fast a host may be visited, it gets no second one.
        """
        now = self._clock()
        return [host for host, known in self._hosts.items() if self._is_blocked(known, now)]

    def wait_s(self) -> float | None:
        """Seconds until the next host may be visited again; None where no host waits for time."""
        now = self._clock()
        waiting = [
            known.free_at - now
            for known in self._hosts.values()
            if now < known.free_at < math.inf and known.num_running < self._max_per_host
        ]
        return min(waiting, default=None)

    def _is_blocked(self, host: _Host, now: float) -> bool:
        places = 1 if host.pause_s is None else self._max_per_host
        return host.num_running >= places or host.free_at > now
