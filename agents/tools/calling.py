"""Who calls a tool: what a tool may use of the rollout that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from agents.chat_format import ChatFormat
from agents.engines.base import Engine, Generation, SamplingParams


class UntimedEngine:
    """An engine whose generations, and the wait for a place, don't count as a tool's time.

    Args:
        engine: Generates.
        timeout: The call's time limit, which stands still meanwhile.
    """

    def __init__(self, engine: Engine, timeout: asyncio.Timeout) -> None:
        self._engine = engine
        self._timeout = timeout
        self._over = False

    @property
    def max_context_tokens(self) -> int:
        """Most tokens of one session."""
        return self._engine.max_context_tokens

    async def generate(
        self, session: str, token_ids: Sequence[int], sampling: SamplingParams
    ) -> Generation:
        """Generates while the limit stands still.

        Raises:
            EngineError: As the engine.
        """
        loop = asyncio.get_running_loop()
        when = self._timeout.when()
        left = None if when is None else when - loop.time()
        self._timeout.reschedule(None)
        try:
            return await self._engine.generate(session, token_ids, sampling)
        finally:
            # A call that was cancelled has no limit any more.
            if not self._over and left is not None:
                self._timeout.reschedule(loop.time() + left)

    def release(self, session: str) -> None:
        """Frees what is kept for a session."""
        self._engine.release(session)

    def close(self) -> None:
        """Ends the call: its limit is left alone from now on. The engine stays open."""
        self._over = True


@dataclass(frozen=True, slots=True)
class Caller:
    """The rollout behind a call.

    Attributes:
        session: Id of its trajectory.
        policy: Digest of the policy that it began with.
        seed: Seed of all its sampling.
        engine: Generates for it; under the runner, within the runner's places. The rollout holds
            no place while it waits, so what a tool generates here waits for one like any turn.
        chat: The policy's tokenizer and chat template.
    """

    session: str
    policy: str
    seed: int
    engine: Engine
    chat: ChatFormat


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Set for the duration of a call; tools serve all rollouts at once, so no argument carries it."""
