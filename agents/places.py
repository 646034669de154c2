"""Places to generate: who generates, who waits, and when another trajectory may be opened.

A trajectory holds a place only while the engine generates for it; while it waits for a tool its
place serves another. Those that are open and ready come first; a new one is opened only where a
place would stand empty, so that just as many are open as the tools' slowness asks for.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from agents.engines.base import Engine, EngineLoad, Generation, SamplingParams, load_of

POLL_S = 0.5
"""Seconds between two looks at the engine's pressure."""
PATIENCE_S = 0.02
"""Seconds that a place must stand empty before a trajectory beyond the places is opened: a tool
that answers at once then costs no further session in the engine."""
FULL, ROOMY = 0.95, 0.8
"""Shares of the engine's memory for keys and values: above the first, places are taken away,
below the second they are given back."""


@dataclass(frozen=True, slots=True)
class RunnerStats:
    """How well the places were used.

    Attributes:
        wanted_s: Seconds in which some trajectory waited to generate, or to be opened.
        busy_s: Of these, place-seconds in use divided by the number of places.
        most_open: Most trajectories that were open at once.
        most_generating: Most that generated at once.
        least_places: Fewest places that the engine's pressure left.
    """

    wanted_s: float
    busy_s: float
    most_open: int
    most_generating: int
    least_places: int

    @property
    def busy_share(self) -> float:
        """Share of the places that generated while anything waited to generate."""
        return self.busy_s / self.wanted_s if self.wanted_s else 1.0


class Places:
    """An engine with a bounded number of places; used from one event loop.

    Args:
        engine: Generates; it is not closed.
        num_places: Most generations at once.
        max_open: Most trajectories in progress at once.
        num_unopened: Trajectories that are still to be opened.
    """

    def __init__(self, engine: Engine, num_places: int, max_open: int, num_unopened: int) -> None:
        self._engine = engine
        self._most = self._places = self._least = num_places
        self._max_open = max_open
        self._num_unopened = num_unopened
        self._open: set[str] = set()
        # Opened and on their way to their first generation: a place is kept for each.
        self._expected: set[str] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._generating = 0
        self._changed = asyncio.Event()
        self._spare_since = self._looked = time.perf_counter()
        self._wanted_s = self._busy_s = 0.0
        self._most_open = self._most_generating = 0
        self._pressed_before = False

    @property
    def max_context_tokens(self) -> int:
        """Most tokens of one session."""
        return self._engine.max_context_tokens

    @property
    def stats(self) -> RunnerStats:
        """How well the places have been used so far."""
        self._account()
        return RunnerStats(
            self._wanted_s, self._busy_s, self._most_open, self._most_generating, self._least
        )

    async def open(self, session: str) -> None:
        """Waits until a trajectory may begin, and opens it."""
        while (delay := self._delay()) is None or delay > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(delay):
                    await self._changed.wait()
            except TimeoutError:
                continue
        self._account()
        self._num_unopened -= 1
        self._open.add(session)
        self._expected.add(session)
        self._most_open = max(self._most_open, len(self._open))

    async def generate(
        self, session: str, token_ids: Sequence[int], sampling: SamplingParams
    ) -> Generation:
        """Generates once a place is free.

        Raises:
            EngineError: As the engine.
        """
        await self._enter(session)
        try:
            return await self._engine.generate(session, token_ids, sampling)
        finally:
            self._account()
            self._generating -= 1
            self._settle()

    def release(self, session: str) -> None:
        """Ends a trajectory and frees what the engine keeps for it."""
        self._account()
        self._open.discard(session)
        self._expected.discard(session)
        self._engine.release(session)
        self._settle()

    def close(self) -> None:
        """Does nothing: the engine belongs to whoever made it."""

    async def follow_pressure(self) -> None:
        """Takes places away while the engine is short of memory, and gives them back; endless."""
        while True:
            await asyncio.sleep(POLL_S)
            load = load_of(self._engine)
            if load is None:
                return
            self.adapt(load)

    def adapt(self, load: EngineLoad) -> None:
        """Adapts the number of places to what the engine says of itself.

        A single look may catch requests that have only just come, hence two in a row are needed.
        """
        queued = load.num_waiting > max(1, load.num_running // 4)
        full = load.memory_share is not None and load.memory_share >= FULL
        pressed = queued or full
        places = self._places
        if pressed and self._pressed_before:
            places = max(1, self._places * 4 // 5)
        elif not pressed and (load.memory_share is None or load.memory_share < ROOMY):
            places = min(self._most, self._places + max(1, self._most // 16))
        self._pressed_before = pressed
        if places != self._places:
            self._account()
            self._places = places
            self._least = min(self._least, places)
            self._settle()

    async def _enter(self, session: str) -> None:
        self._account()
        if session in self._expected:
            self._expected.discard(session)
        elif self._spare() <= 0 or self._waiting:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                # Whoever frees a place counts it as ours before we wake.
                await turn
            except asyncio.CancelledError:
                self._account()
                if turn in self._waiting:
                    self._waiting.remove(turn)
                elif not turn.cancelled():
                    self._generating -= 1
                self._settle()
                raise
            return
        self._take()

    def _take(self) -> None:
        self._generating += 1
        self._most_generating = max(self._most_generating, self._generating)

    def _spare(self) -> int:
        return self._places - self._generating - len(self._expected)

    def _settle(self) -> None:
        """Hands free places to those that wait; tells the opener where some are left."""
        while self._waiting and self._spare() > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                self._take()
                turn.set_result(None)
        self._changed.set()

    def _delay(self) -> float | None:
        """Seconds until another trajectory may be opened; None: not before something changes."""
        if len(self._open) >= self._max_open or self._spare() <= 0 or self._waiting:
            return None
        if len(self._open) < self._places:
            return 0.0
        return max(0.0, self._spare_since + PATIENCE_S - time.perf_counter())

    def _account(self) -> None:
        """Adds up the time since the last change; called before every change."""
        now = time.perf_counter()
        if self._waiting or self._num_unopened:
            self._wanted_s += now - self._looked
            self._busy_s += (now - self._looked) * min(1.0, self._generating / self._places)
        self._looked = now
        if self._spare() <= 0:
            self._spare_since = now
