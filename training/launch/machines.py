"""How the machines of one training learn of each other's end: files in the folder that all see.

The driver's machine touches a file each second; the others take its silence for the driver's end.
A machine whose ranks failed leaves a file that says why. A machine's clock is never compared with
another's: only whether a file changes counts.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from agents.errors import EvolveSearchError, RankDiedError, StageError
from agents.lifeline import describe_error, our_error

_ALIVE = "alive"
_TOUCH_S = 1.0


class Machines:
    """The other machines, as one of them sees them.

    Args:
        folder: The request, seen by all machines.
        machine_rank: Which machine this is.
        silence_s: Longest silence of the driver's machine.
    """

    def __init__(self, folder: Path, machine_rank: int, silence_s: float) -> None:
        self._folder = folder
        self._machine_rank = machine_rank
        self._silence_s = silence_s
        self._touched_at = 0.0
        self._seen: int | None = None
        self._seen_at = time.monotonic()

    def look(self) -> EvolveSearchError | None:
        """What has gone wrong elsewhere, None as long as nothing has."""
        return self._as_first() if self._machine_rank == 0 else self._as_other()

    def tell(self, error: EvolveSearchError) -> None:
        """Tells the driver's machine why this machine's ranks have ended."""
        if self._machine_rank and self._folder.is_dir():
            part = self._folder / f"failed-{self._machine_rank}.part"
            part.write_text(json.dumps(describe_error(error)))
            part.rename(part.with_suffix(".json"))

    def _as_first(self) -> EvolveSearchError | None:
        if time.monotonic() - self._touched_at >= _TOUCH_S:
            (self._folder / _ALIVE).touch()
            self._touched_at = time.monotonic()
        for path in sorted(self._folder.glob("failed-*.json")):
            described = json.loads(path.read_text())
            number = path.stem.removeprefix("failed-")
            return our_error(described) or StageError(f"machine {number}: {described['message']}")
        return None

    def _as_other(self) -> EvolveSearchError | None:
        try:
            seen = (self._folder / _ALIVE).stat().st_mtime_ns
        except FileNotFoundError:
            seen = None
        if seen is not None and seen != self._seen:
            self._seen, self._seen_at = seen, time.monotonic()
        if time.monotonic() - self._seen_at > self._silence_s:
            return RankDiedError(f"the driver gave no sign of life for {self._silence_s:.0f} s")
        return None
