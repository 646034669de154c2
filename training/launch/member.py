"""One rank as the process that started it sees it: what it said last, and how to end it."""

from __future__ import annotations

import os
import selectors
import signal
from contextlib import suppress
from dataclasses import dataclass, field

from training.launch.wire import Wire


@dataclass(slots=True)
class Member:
    """One rank of this machine.

    Attributes:
        wire: The connection to it.
        rank: Its number.
        process: Its process id.
        heard_at: When it gave its last sign of life, by the monotonic clock.
        has_begun: Whether it is ready for its first step.
        said_bye: Whether its end is accounted for.
    """

    wire: Wire
    rank: int
    process: int
    heard_at: float
    has_begun: bool = False
    said_bye: bool = False
    _pidfd: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Takes hold of this very process, where the system allows it and it still is there."""
        if hasattr(os, "pidfd_open"):
            with suppress(ProcessLookupError):
                self._pidfd = os.pidfd_open(self.process)

    def __str__(self) -> str:
        return f"rank {self.rank} (process {self.process})"

    def kill(self) -> None:
        """Kills the process; one that has ended is left alone."""
        with suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            else:
                os.kill(self.process, signal.SIGKILL)

    def runs(self) -> bool:
        """Whether the process has not ended yet."""
        if self._pidfd is not None:  # readable once the process has ended
            with selectors.DefaultSelector() as selector:
                selector.register(self._pidfd, selectors.EVENT_READ)
                return not selector.select(0)
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        """Lets go of it."""
        self.wire.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
