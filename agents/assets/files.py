"""Folders of the cache: complete or absent, guarded by a lock, and checked before use.

A folder is filled under another name and renamed when it is complete. `digests.json` in it holds
the digest of every file, so that a copy that was damaged later is found out and made again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.errors import AssetError

_DIGESTS = "digests.json"
_checked: dict[Path, int] = {}


def cache_dir() -> Path:
    """Folder of everything that can be fetched or built again.

    `$EVOLVESEARCH_CACHE` where set, else `$XDG_CACHE_HOME/evolvesearch`, else
    `~/.cache/evolvesearch`.
    """
    own = os.environ.get("EVOLVESEARCH_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "evolvesearch"


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ensure_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """Returns a complete and undamaged folder, filling it first where that is needed.

    Several processes may ask at once: one fills, the others wait for it.

    Args:
        target: The folder.
        fill: Writes the folder's files into the empty folder that it is given.

    Raises:
        AssetError: The disk is full or the cache is not writable.
    """
    if is_intact(target):
        return target
    with _one_line_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.with_name(f".{target.name}.lock")):
            if is_intact(target):
                return target
            # Only the holder of the lock writes here: what is left over is of a killed process.
            for remains in target.parent.glob(f".{target.name}-*"):
                shutil.rmtree(remains, ignore_errors=True)
            staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            try:
                content = staging / "content"
                content.mkdir()
                fill(content)
                # Locks are not content: tantivy drops its own whenever it opens a folder.
                files = [p for p in sorted(content.iterdir()) if p.suffix != ".lock"]
                digests = {path.name: file_digest(path) for path in files}
                (content / _DIGESTS).write_text(json.dumps(digests, indent=1))
                if target.exists():
                    target.rename(staging / "damaged")
                content.rename(target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    # The digests were just taken of the very files: the first use need not read them again.
    _checked[target] = target.stat().st_mtime_ns
    return target


def is_intact(folder: Path) -> bool:
    """Whether a folder is there and all its files are as they were written.

    Every file is read once a process; SHA-256 takes about half a second a gigabyte.
    """
    try:
        made = folder.stat().st_mtime_ns
        if _checked.get(folder) == made:
            return True
        digests = json.loads((folder / _DIGESTS).read_text())
        intact = all(file_digest(folder / name) == digest for name, digest in digests.items())
    except (OSError, ValueError, AttributeError):
        return False
    if intact:
        _checked[folder] = made
    return intact


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _one_line_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise AssetError(
                f"no space left on the disk of {target.parent}; free some, or set "
                "EVOLVESEARCH_CACHE to a folder on another disk"
            ) from error
        raise AssetError(
            f"cannot write to the cache folder {target.parent}: {error.strerror or error}; "
            "set EVOLVESEARCH_CACHE to a writable folder"
        ) from error
