"""Progress of anything that takes over two seconds, whoever shows it.

Libraries report here; the command line installs a sink that draws bars, a flow one that logs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class ProgressSink(Protocol):
    """Where progress is shown."""

    def start(self, description: str, total: float | None, unit: str) -> int:
        """Opens a bar of `total` units (None: unknown) and returns its id."""
        ...

    def update(
        self, bar: int, completed: float, total: float | None = None, detail: str = ""
    ) -> None:
        """Sets how much of a bar is done (absolute), optionally its total and a short detail."""
        ...

    def finish(self, bar: int) -> None:
        """Closes a bar."""
        ...


class SilentProgress:
    """Shows nothing; the default of libraries and tests."""

    def start(self, description: str, total: float | None, unit: str) -> int:
        """Ignores the bar."""
        return 0

    def update(
        self, bar: int, completed: float, total: float | None = None, detail: str = ""
    ) -> None:
        """Ignores the update."""

    def finish(self, bar: int) -> None:
        """Ignores the end."""


_sink: ProgressSink = SilentProgress()


def set_progress(sink: ProgressSink) -> ProgressSink:
    """Installs the sink of this process and returns the one before it."""
    global _sink
    before, _sink = _sink, sink
    return before


class Bar:
    """One bar: `advance` and `update` it, it closes with its context."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self.completed: float = 0
        self._sink = _sink
        self._bar = self._sink.start(description, total, unit)

    def update(self, completed: float, total: float | None = None, detail: str = "") -> None:
        """Sets the absolute amount done."""
        self.completed = completed
        self._sink.update(self._bar, completed, total, detail)

    def advance(self, amount: float = 1, detail: str = "") -> None:
        """Adds to the amount done."""
        self.update(self.completed + amount, detail=detail)

    def finish(self) -> None:
        """Closes the bar."""
        self._sink.finish(self._bar)


@contextmanager
def progress(description: str, total: float | None = None, unit: str = "it") -> Iterator[Bar]:
    """Shows a bar for the duration of a block.

    Args:
        description: What is being done, in a few words.
        total: How many units there are, or None where unknown.
        unit: Name of one unit, in the plural (`rollouts`, `steps`, `bytes`).
    """
    bar = Bar(description, total, unit)
    try:
        yield bar
    finally:
        bar.finish()
