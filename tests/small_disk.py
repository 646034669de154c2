"""A disk that is really full: a small file system of its own, where this user may mount one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def mounted(*options: str, at: Path) -> bool:
    """Mounts, or mounts anew, a file system in memory; returns whether this user may."""
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(at)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not mounted("size=2m", at=disk):
        pytest.skip("this user may not mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
