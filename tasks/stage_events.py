"""Tells whoever listens in this process which stages were computed, reused or skipped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StageEvent:
    """The end of one stage.

    Attributes:
        stage: Its name.
        iteration: Iteration of the run, 0 before the first.
        subject: What it worked on, where an iteration has it more than once.
        status: `done` or `skipped`.
        reused: Whether everything was there already.
        wall_s: Seconds it took, or looking for what was there.
    """

    stage: str
    iteration: int
    subject: str
    status: str
    reused: bool
    wall_s: float


_listeners: list[Callable[[StageEvent], None]] = []
_lock = threading.Lock()


@contextmanager
def stage_events(listener: Callable[[StageEvent], None]) -> Iterator[None]:
    """Calls the listener for every stage that ends in this process during a block."""
    with _lock:
        _listeners.append(listener)
    try:
        yield
    finally:
        with _lock:
            _listeners.remove(listener)


def tell_stage(event: StageEvent) -> None:
    """Tells the listeners about a stage."""
    with _lock:
        listeners = tuple(_listeners)
    for listener in listeners:
        listener(event)
