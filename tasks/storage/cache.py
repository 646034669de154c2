"""Local copies of what a remote store holds: checked once, kept while there is room.

An entry is a folder that is named by the digest of its content, so one cache serves any number
of stores and processes. It is filled under another name, its digests are checked, and then it is
renamed: an entry is whole, or it is not there. Layout: `<kind>/<digest>/<files>`, and `filling/`.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from tasks.manifest import StoredFile
from tasks.storage.errors import one_line

Fetch = Callable[[StoredFile, Path], None]
"""Writes an object of the store into a file, its digest checked."""

_FILLING = "filling"
_IN_USE_S = 3600.0
"""Seconds after its last use in which an entry is never removed: somebody may be reading it."""
_ABANDONED_S = 86_400.0


class StoreCache:
    """A folder of entries, of bounded size.

    Args:
        folder: The folder; made when first needed.
        max_bytes: Size above which what was not used for longest is removed.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self._max_bytes = max_bytes

    def entry(self, kind: str, digest: str, files: Sequence[StoredFile], fetch: Fetch) -> Path:
        """The folder of an entry, filled first where it is not there.

        Two processes may fill the same entry at once: one copy stays, and both go on.

        Args:
            kind: `policies` or `tables`.
            digest: Digest of the content, the entry's name.
            files: What belongs into it, under the last part of its path.
            fetch: Fetches one of them.

        Raises:
            StoreError: A file cannot be fetched or is damaged, or the disk is full.
        """
        target = self.folder / kind / digest
        with one_line("write", str(target)):
            if self._is_whole(target, files):
                return target
        filling = self.folder / _FILLING / uuid.uuid4().hex
        try:
            with one_line("write", str(filling)):
                filling.mkdir(parents=True)
            for file in files:
                fetch(file, filling / _name(file))
            with one_line("write", str(target)):
                self._put_in_place(filling, target, files)
        finally:
            shutil.rmtree(filling, ignore_errors=True)
        self._make_room()
        return target

    def scratch(self, name: str) -> Path:
        """Where a stage may keep large files while it runs; not made, nor ever removed, here."""
        return self.folder / "scratch" / name

    def _is_whole(self, target: Path, files: Sequence[StoredFile]) -> bool:
        try:
            for file in files:
                if (target / _name(file)).stat().st_size != file.num_bytes:
                    return False
            os.utime(target)  # the time of its last use
        except FileNotFoundError:
            return False
        return True

    def _put_in_place(self, filling: Path, target: Path, files: Sequence[StoredFile]) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                filling.rename(target)
            except OSError:
                if self._is_whole(target, files):
                    return
                if not target.exists():
                    raise
                self._remove(target)  # it was damaged by hand
            else:
                return

    def _make_room(self) -> None:
        """Removes what was not used for longest until the rest fits."""
        now = time.time()
        entries = []
        for kind in ("policies", "tables", _FILLING):
            for path in self._folders(kind):
                try:
                    used_at = path.stat().st_mtime
                    size = sum(file.stat().st_size for file in path.iterdir())
                except FileNotFoundError:
                    continue  # another process removed it
                if kind != _FILLING:
                    entries.append((used_at, size, path))
                elif now - used_at > _ABANDONED_S:
                    shutil.rmtree(path, ignore_errors=True)
        total = sum(size for _, size, _ in entries)
        for used_at, size, path in sorted(entries):
            if total <= self._max_bytes or now - used_at < _IN_USE_S:
                return
            self._remove(path)
            total -= size

    def _folders(self, kind: str) -> list[Path]:
        try:
            return list((self.folder / kind).iterdir())
        except FileNotFoundError:
            return []

    def _remove(self, entry: Path) -> None:
        """Takes an entry away in one step, so that nobody sees half of it."""
        grave = self.folder / _FILLING / uuid.uuid4().hex
        grave.parent.mkdir(parents=True, exist_ok=True)
        try:
            entry.rename(grave)
        except FileNotFoundError:
            return  # another process removed it
        shutil.rmtree(grave, ignore_errors=True)


def _name(file: StoredFile) -> str:
    return file.path.rpartition("/")[2]
