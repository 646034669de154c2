"""Lets one thread end what another waits for, where rollouts are no longer of use.

RL's rollouts are sampled on behalf of processes that may die meanwhile. Whoever watches those ends
the rollouts with the reason, instead of having them finished for nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

_enclosing: ContextVar[Interruption | None] = ContextVar("interruption", default=None)


class Interruption:
    """A block whose event loops, those of `run_interruptibly`, another thread can end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._before: Token[Interruption | None] | None = None

    def __enter__(self) -> Interruption:
        self._before = _enclosing.set(self)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        assert self._before is not None
        _enclosing.reset(self._before)

    def interrupt(self, error: Exception) -> None:
        """Cancels what runs in the block, which raises the error; so does whatever starts later.

        Only the first error counts. Called from any thread.
        """
        with self._lock:
            if self._error is not None:
                return
            self._error = error
            if self._running is not None:
                loop, task = self._running
                loop.call_soon_threadsafe(task.cancel)

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        with self._lock:
            if self._error is not None:
                work.close()
                raise self._error
            self._running = (asyncio.get_running_loop(), task)
        try:
            return await work
        except asyncio.CancelledError:
            if self._error is None:
                raise  # somebody else's: Ctrl-C
            raise self._error from None
        finally:
            with self._lock:
                self._running = None


def run_interruptibly(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, which the `Interruption` around it can end.

    Raises:
        Exception: The reason of the interruption, or what the work raises.
    """
    around = _enclosing.get()
    return asyncio.run(work if around is None else around._run(work))
