"""What keeps calls to a foreign service in bounds: rate, circuit breaker, waits between tries."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from agents.tools.base import ToolFailure

FAILURES_TO_OPEN = 5
OPEN_S = 30.0
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0


class RateLimit:
    """Spreads calls evenly over time.

    Args:
        rate: Most calls a second; None: no limit.
    """

    def __init__(self, rate: float | None) -> None:
        self._gap_s = 0.0 if rate is None else 1.0 / rate
        self._next = 0.0

    async def wait(self) -> None:
        """Waits for this call's turn."""
        if self._gap_s:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap_s
            await asyncio.sleep(turn - now)


class CircuitBreaker:
    """Fails calls at once while a service is down, and tries it again after a while.

    Args:
        name: What the service is called in errors.
        clock: Seconds that only grow.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._failures = 0
        self._opened_at = 0.0
        self._last = ""

    def check(self) -> None:
        """Lets a call through; while the circuit is open, one at a time after a pause.

        Raises:
            ToolFailure: The service is taken to be down.
        """
        if self._failures < FAILURES_TO_OPEN:
            return
        waited = self._clock() - self._opened_at
        if waited < OPEN_S:
            raise ToolFailure(
                f"{self._name} failed {self._failures} times in a row (last: {self._last}); "
                f"asked again in {OPEN_S - waited:.0f} s"
            )
        # This call is the trial; the others go on failing until it has come back.
        self._opened_at = self._clock()

    def succeeded(self) -> None:
        """Closes the circuit."""
        self._failures = 0

    def failed(self, reason: str) -> None:
        """Counts a failure."""
        self._failures += 1
        self._last = reason
        self._opened_at = self._clock()


def backoff_s(attempt: int) -> float:
    """Seconds to wait after a failed attempt (from 1): random, and longer each time."""
    longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** (attempt - 1))
    return random.uniform(0.5, 1.0) * longest


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for; None without a usable one."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
