"""What a process may still take of the machine's memory, and of the accelerator's."""

from __future__ import annotations

import os
import re
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def free_memory(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int | None:
    """Bytes that a new program could take: the machine's, or fewer where a cgroup sets a limit.

    Args:
        cgroup: Folder of the cgroup that this process is in, as containers see it.
        meminfo: The kernel's own account.

    Returns:
        None where the system does not say.
    """
    found = [_of_the_machine(meminfo), _of_the_cgroup(cgroup)]
    return min((size for size in found if size is not None), default=None)


def num_oom_kills(cgroup: Path = _CGROUP) -> int:
    """How many processes the kernel has killed here for lack of memory; 0 where unknown."""
    found = re.search(r"^oom_kill (\d+)$", _text(cgroup / "memory.events"), re.MULTILINE)
    return int(found[1]) if found else 0


def _of_the_machine(meminfo: Path) -> int | None:
    # The kernel's own figure counts what it would give back; elsewhere pages without use do.
    if match := re.search(r"^MemAvailable:\s*(\d+) kB$", _text(meminfo), re.MULTILINE):
        return int(match[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _of_the_cgroup(folder: Path) -> int | None:
    limit, used = (_text(folder / name).strip() for name in ("memory.max", "memory.current"))
    if not limit.isdigit() or not used.isdigit():
        return None  # no limit, or no such account
    # Files that were read lie in the same account, and go as soon as somebody needs the room.
    cached = re.search(r"^inactive_file (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
    return max(0, int(limit) - int(used) + (int(cached[1]) if cached else 0))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
