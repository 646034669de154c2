"""Patience with foreign services: their rate, their `Retry-After`, and waits between tries."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MOST_DIGITS = 9


class RateLimit:
    """Spreads calls evenly over time.

    Args:
        rate: Most calls a second; None: no limit.
        sleep: Waits; tests bring their own.
    """

    def __init__(
        self, rate: float | None, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._gap_s = 0.0 if rate is None else 1.0 / rate
        self._sleep = sleep
        self._next = 0.0

    async def wait(self) -> None:
        """Waits for this call's turn."""
        if not self._gap_s:
            return
        now = time.monotonic()
        turn = max(now, self._next)
        self._next = turn + self._gap_s
        if turn > now:
            await self._sleep(turn - now)


def backoff_s(attempt: int, first_s: float, longest_s: float) -> float:
    """Seconds to wait after a failed attempt: longer each time, and random.

    Those that were refused together do not come back together.

    Args:
        attempt: Number of the attempt, from 1.
        first_s: Longest wait after the first one; it doubles with each.
        longest_s: Longest wait of all.
    """
    return min(longest_s, first_s * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, a number or a date; None: not usable."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:_MOST_DIGITS])
    try:
        until = parsedate_to_datetime(text)
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        return max(0.0, (until - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
