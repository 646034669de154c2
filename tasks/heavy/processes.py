"""Which processes live: a pid alone may have been given to another process since."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process of this machine, told apart from later ones of the same pid.

    Attributes:
        pid: Its id.
        start: When it started, in the words of the system.
    """

    pid: int
    start: str


def process_of(pid: int) -> ProcessRef | None:
    """The process that has this id now; None where there is none, or only its remains."""
    state, start = _state_and_start(pid)
    return ProcessRef(pid, start) if start and state not in "ZX" else None


def is_alive(process: ProcessRef) -> bool:
    """Whether this very process still runs."""
    return process_of(process.pid) == process


@lru_cache(maxsize=1)
def this_machine() -> str:
    """Names the place where pids mean something: host, boot and process namespace."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{boot}/{namespace}"


def _state_and_start(pid: int) -> tuple[str, str]:
    if _PROC.joinpath("self/stat").exists():
        try:
            # The name of the program, in parentheses, may hold anything; fields count after it.
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return "", ""
        return fields[0], fields[19]
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    line = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    state, _, start = line.strip().partition(" ")
    return state[:1], start.strip()
