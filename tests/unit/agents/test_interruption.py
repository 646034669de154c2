"""Rollouts end, with the reason, when another thread has it that they are of no use."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from transformers import PreTrainedTokenizerFast

from agents.config import AgentConfig
from agents.engines.base import Generation, SamplingParams
from agents.errors import RankDiedError, StageError
from agents.interruption import Interruption, run_interruptibly
from agents.rollout import RolloutJob
from agents.runner import run_rollouts
from agents.trajectory import Question

REASON = RankDiedError("rank 1 died")
LONG_S = 60.0


class SilentEngine:
    """Never answers; remembers which sessions began and which were released."""

    max_context_tokens = 4096

    def __init__(self, when_all_wait: Callable[[], None], num_sessions: int) -> None:
        self.begun: set[str] = set()
        self.released: set[str] = set()
        self._when_all_wait = when_all_wait
        self._num_sessions = num_sessions

    async def generate(
        self, session: str, token_ids: Sequence[int], sampling: SamplingParams
    ) -> Generation:
        self.begun.add(session)
        if len(self.begun) == self._num_sessions:
            self._when_all_wait()
        await asyncio.sleep(LONG_S)
        raise AssertionError("it was waited for")

    def release(self, session: str) -> None:
        self.released.add(session)

    def close(self) -> None: ...


def test_rollouts_end_with_the_reason_and_free_their_sessions(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    jobs = [
        RolloutJob(
            question=Question("q", "Who?", ("I",)),
            rollout_index=index,
            seed=index,
            temperature=0.7,
            top_p=1.0,
            iteration=1,
            policy="p",
            source="rl",
        )
        for index in range(3)
    ]
    interruption = Interruption()

    def interrupt() -> None:
        threading.Thread(target=interruption.interrupt, args=(REASON,)).start()

    engine = SilentEngine(interrupt, len(jobs))
    started = time.monotonic()
    with interruption, pytest.raises(RankDiedError, match="rank 1 died"):
        run_rollouts(jobs, engine, tokenizer, {}, AgentConfig())
    assert time.monotonic() - started < LONG_S / 4
    assert engine.released == engine.begun
    assert len(engine.begun) == 3


def test_what_starts_after_the_interruption_does_not_run() -> None:
    async def work() -> None:
        raise AssertionError("it ran")

    interruption = Interruption()
    interruption.interrupt(REASON)
    interruption.interrupt(StageError("a later sign of the same trouble"))
    for _ in range(2):
        with interruption, pytest.raises(RankDiedError):
            run_interruptibly(work())


def test_nothing_else_is_touched() -> None:
    async def value() -> int:
        return 7

    async def cancelled() -> None:
        raise asyncio.CancelledError

    interruption = Interruption()
    with interruption:
        assert run_interruptibly(value()) == 7
        with pytest.raises(asyncio.CancelledError):
            run_interruptibly(cancelled())
    interruption.interrupt(REASON)
    assert run_interruptibly(value()) == 7, "outside of the block it means nothing"
