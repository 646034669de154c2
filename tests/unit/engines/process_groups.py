"""Which processes of a group live, as /proc has it."""

from __future__ import annotations

import time
from pathlib import Path


def group(leader: int) -> list[int]:
    """Living processes of a group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(of) == leader and state != "Z":
                found.append(int(entry.name))
    return found


def gone(leader: int) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if not group(leader):
            return True
        time.sleep(0.05)
    return False
