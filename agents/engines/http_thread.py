"""An event loop in a thread of its own, for engines that talk to a server.

Connections belong to one loop; rollouts come from many, each run having its own. So the engine
keeps one loop for its connections, and callers of any loop wait for what happens there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from agents.errors import EngineError

T = TypeVar("T")


class HttpThread:
    """Runs coroutines of all callers on one loop."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine there; a cancel here cancels it there.

        Raises:
            EngineError: The thread was closed.
        """
        return await asyncio.wrap_future(self._submit(work))

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine there and blocks until it has ended.

        Raises:
            EngineError: The thread was closed.
        """
        return self._submit(work).result()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancels what runs, runs `last` and ends the thread; further calls do nothing."""
        with self._lock:
            if self._closed:
                last.close()
                return
            self._closed = True
            ending = asyncio.run_coroutine_threadsafe(self._end(last), self._loop)
        ending.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            if self._closed:
                work.close()
                raise EngineError("the engine is closed")
            return asyncio.run_coroutine_threadsafe(self._guarded(work), self._loop)

    async def _guarded(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        except asyncio.CancelledError:
            if self._closed:
                raise EngineError("the engine was closed") from None
            raise

    @staticmethod
    async def _end(last: Coroutine[Any, Any, None]) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await last
