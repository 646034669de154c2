"""A circuit breaker for calls to one foreign service."""

from __future__ import annotations

import time
from collections.abc import Callable

from agents.tools.base import ToolFailure

FAILURES_TO_OPEN = 5
OPEN_S = 30.0


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
