"""What the command line shows: progress on standard error, one JSON document on standard output."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from agents.progress import set_progress

_WORTH_A_LINE_S = 2.0
"""A bar that was open for less leaves no line behind."""
UNBOUNDED = 100_000
"""Width where there is no terminal."""
_PLAIN_EVERY_S = 15.0
"""Seconds between two lines of one bar where there is no terminal to redraw."""


@dataclass
class _Meter:
    """State of one bar: what it says, and how fast it moves."""

    description: str
    total: float | None
    unit: str
    completed: float = 0.0
    detail: str = ""
    started: float = field(default_factory=time.monotonic)
    printed: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    def _amount(self, value: float) -> str:
        return decimal(int(value)) if self.unit == "bytes" else f"{value:,.0f}"

    def amounts(self) -> str:
        """Done of total, in the bar's unit; empty where that says nothing."""
        if self.total == 1 or (self.total is None and not self.completed):
            return ""
        of = "" if self.total is None else f"/{self._amount(self.total)}"
        unit = "" if self.unit == "bytes" else f" {self.unit}"
        return f"{self._amount(self.completed)}{of}{unit}"

    def rate(self) -> str:
        """Units a second, or seconds a unit where it takes longer."""
        speed = self.completed / max(self.elapsed_s, 1e-9)
        if not self.completed or self.total == 1:
            return ""
        if self.unit == "bytes":
            return f"{decimal(int(speed))}/s"
        return f"{speed:,.1f}/s" if speed >= 1 else f"{1 / speed:,.1f} s each"

    def remaining(self) -> str:
        """Time left at the rate so far."""
        if not self.total or not self.completed or self.completed >= self.total:
            return ""
        left = self.elapsed_s * (self.total - self.completed) / self.completed
        return f"{duration(left)} left"

    def line(self, *more: str) -> str:
        """The bar as one line of text."""
        parts = (self.amounts(), self.rate(), *more, self.detail)
        return f"{self.description}: " + ", ".join(part for part in parts if part)


def duration(seconds: float) -> str:
    """Writes a duration as people read it: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class _MeterColumn(ProgressColumn):
    """Amount, rate, time left and detail of a bar."""

    def render(self, task: Task) -> Text:
        meter: _Meter = task.fields["meter"]
        parts = [part for part in (meter.amounts(), meter.rate(), meter.remaining()) if part]
        text = Text(" · ".join(parts))
        if meter.detail:
            text.append(f"  {meter.detail}", style="dim")
        return text


class ConsoleProgress:
    """A progress sink that draws bars on a terminal, and prints plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._meters: dict[int, _Meter] = {}
        self._next = 0
        self._lock = threading.RLock()
        self._live: Progress | None = None
        self._tasks: dict[int, TaskID] = {}

    def start(self, description: str, total: float | None, unit: str) -> int:
        """Opens a bar."""
        with self._lock:
            bar, self._next = self._next, self._next + 1
            meter = self._meters[bar] = _Meter(description, total, unit)
            if self._console.is_terminal:
                self._tasks[bar] = self._drawn().add_task(description, total=total, meter=meter)
            return bar

    def update(
        self, bar: int, completed: float, total: float | None = None, detail: str = ""
    ) -> None:
        """Sets how much of a bar is done."""
        with self._lock:
            if (meter := self._meters.get(bar)) is None:
                return
            meter.completed = completed
            meter.total = meter.total if total is None else total
            meter.detail = detail
            if self._live is not None:
                self._live.update(self._tasks[bar], completed=completed, total=meter.total)
            elif time.monotonic() - meter.printed >= _PLAIN_EVERY_S:
                meter.printed = time.monotonic()
                self._console.print(meter.line(meter.remaining()), markup=False, highlight=False)

    def finish(self, bar: int) -> None:
        """Closes a bar; one that took a while leaves a line behind."""
        with self._lock:
            if (meter := self._meters.pop(bar, None)) is None:
                return
            if self._live is not None:
                self._live.remove_task(self._tasks.pop(bar))
            if meter.elapsed_s >= _WORTH_A_LINE_S:
                line = meter.line(f"took {duration(meter.elapsed_s)}")
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            if self._live is not None and not self._tasks:
                self.close()

    def close(self) -> None:
        """Stops drawing and gives the cursor back."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None
                self._tasks.clear()

    def _drawn(self) -> Progress:
        if self._live is None:
            self._live = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                _MeterColumn(),
                console=self._console,
                transient=True,
                # What goes to a pipe must reach it: only a terminal's output is drawn around.
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()
        return self._live


def screen() -> Console:
    """Standard output for people: as wide as the terminal, and unbounded where it is none.

    A pipe or a file has no width that a table would have to be squeezed into.
    """
    width = None if sys.stdout.isatty() else UNBOUNDED
    return Console(highlight=False, markup=False, width=width)


@contextmanager
def output(as_json: bool) -> Iterator[Callable[[Any], None]]:
    """Shows progress for the duration of a block, and lets it answer with one JSON document.

    With `as_json`, whatever the block, its libraries and its child processes write to standard
    output goes to standard error, so that standard output holds the document alone.

    Yields:
        A function that takes the document; without `as_json` it does nothing.
    """
    sink = ConsoleProgress(Console(stderr=True))
    before = set_progress(sink)
    documents: list[Any] = []
    try:
        with _stdout_to_stderr() if as_json else _unchanged():
            yield documents.append if as_json else _ignore
    finally:
        set_progress(before)
        sink.close()
    for document in documents:
        text = json.dumps(_finite(document), ensure_ascii=False, indent=2, default=str)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _finite(value: Any) -> Any:
    """Puts None in place of NaN and infinities, which JSON has no words for."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case _:
            return value


def _ignore(document: Any) -> None:
    """Takes the document of a command that was not asked for JSON."""


@contextmanager
def _unchanged() -> Iterator[None]:
    yield


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Points standard output to standard error, for this process and its children."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
