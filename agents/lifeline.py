"""Ties a process to the one that started it, and describes how it failed to that one."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from agents.errors import EvolveSearchError

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Has the kernel kill this process when its parent dies, however it dies (Linux only).

    Args:
        parent: Process id of the parent as it was when this process was made.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def describe_error(error: BaseException) -> dict[str, Any]:
    """An error as JSON values: `type`, `message` (one line), `ours`, `memory`.

    `memory` says that it was a lack of memory, of the machine or of the accelerator.
    """
    message = str(error).strip().split("\n", 1)[0]
    memory = isinstance(error, MemoryError) or "out of memory" in str(error).lower()
    return {
        "type": type(error).__name__,
        "message": message,
        "ours": isinstance(error, EvolveSearchError),
        "memory": memory or "can't allocate memory" in str(error).lower(),
    }


def our_error(described: Mapping[str, Any]) -> EvolveSearchError | None:
    """The error of this project that was described; None where it was another's or is not known."""
    if not described["ours"]:
        return None
    for known in _tree(EvolveSearchError):
        if known.__name__ == described["type"]:
            return known(str(described["message"]))
    return None


def _tree(base: type[EvolveSearchError]) -> Iterator[type[EvolveSearchError]]:
    yield base
    for each in base.__subclasses__():
        yield from _tree(each)
