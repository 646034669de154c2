"""Named objects in a store: whole, immutable once written, and errors in one line.

This is the only module that talks to the object-store library (obstore). An object becomes
visible at once and whole: the library writes beside the name and renames.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

from agents.errors import StoreError, UsageError


class ObjectStore:
    """Objects under one URI, addressed by `/`-separated paths.

    Attributes:
        uri: Where the store lies, as a `file://` URI.
        root: The folder it lies in.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = root.as_uri()
        with one_line("open", str(root)):
            self._store = LocalStore(str(root), mkdir=True)

    @classmethod
    def open(cls, uri: str | Path) -> ObjectStore:
        """Opens the store at a local folder or `file://` URI, made where it does not exist.

        Raises:
            UsageError: The URI names no local folder.
            StoreError: The folder cannot be made.
        """
        text = str(uri)
        if not text.strip():
            raise UsageError("store: expected a local folder or a file:// URI, got an empty name")
        parsed = urlparse(text)
        if parsed.scheme == "file":
            path = Path(unquote(parsed.path))
        elif "://" in text:
            raise UsageError(
                f"store {text}: expected a local folder or a file:// URI, got {parsed.scheme}://"
            )
        else:
            path = Path(text)
        path = Path(os.path.abspath(path.expanduser()))
        if path.exists() and not path.is_dir():
            raise UsageError(f"store {path}: expected a folder, got a file")
        return cls(path)

    def path_of(self, path: str) -> Path:
        """Where an object lies on this machine."""
        return self.root / path

    def put_new(self, path: str, data: bytes) -> bool:
        """Writes an object unless one of this name exists; returns whether it wrote.

        Raises:
            StoreError: It could not be written (disk full, no permission, …).
        """
        with one_line("write", f"{self.root}/{path}"):
            try:
                obstore.put(self._store, path, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def put(self, path: str, data: bytes) -> None:
        """Writes an object, in place of the one of this name.

        Raises:
            StoreError: It could not be written.
        """
        with one_line("write", f"{self.root}/{path}"):
            obstore.put(self._store, path, data, use_multipart=False)

    def put_file(self, path: str, file: Path) -> None:
        """Copies a file into a content-addressed object, in parts and not through memory.

        Raises:
            StoreError: It could not be read or written.
        """
        if self.size(path) == file.stat().st_size:
            return
        with one_line("write", f"{self.root}/{path}"):
            obstore.put(self._store, path, file)

    def get(self, path: str) -> bytes | None:
        """The content of an object, None where there is none.

        Raises:
            StoreError: It could not be read.
        """
        with one_line("read", f"{self.root}/{path}"):
            try:
                return bytes(obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None

    def get_file(self, path: str, local_file: Path, sha256: str | None = None) -> bool:
        """Copies an object into a file, in parts and not through memory.

        Args:
            path: The object.
            local_file: The file to make or to replace; its folder must exist.
            sha256: Digest that the content must have; None: any.

        Returns:
            Whether there is such an object.

        Raises:
            StoreError: It could not be read or written, or its digest is another.
        """
        digest = hashlib.sha256()
        with one_line("read", f"{self.root}/{path}"):
            try:
                parts = obstore.get(self._store, path).stream()
            except FileNotFoundError:
                return False
            with local_file.open("wb") as file:
                for part in parts:
                    digest.update(part)
                    file.write(part)
        if sha256 is not None and digest.hexdigest() != sha256:
            local_file.unlink()
            raise StoreError(f"{self.root}/{path} is damaged: its digest is not as recorded")
        return True

    def size(self, path: str) -> int | None:
        """Bytes of an object, None where there is none."""
        with one_line("read", f"{self.root}/{path}"):
            try:
                return int(obstore.head(self._store, path)["size"])
            except FileNotFoundError:
                return None

    def paths(self, prefix: str) -> list[str]:
        """Paths of all objects under a prefix, sorted."""
        with one_line("list", f"{self.root}/{prefix}"):
            return sorted(meta["path"] for meta in obstore.list(self._store, prefix).collect())

    def delete(self, paths: list[str]) -> None:
        """Removes objects; what is gone already is no error."""
        with one_line("delete from", str(self.root)):
            for path in paths:
                try:
                    obstore.delete(self._store, path)
                except FileNotFoundError:
                    continue


@contextmanager
def one_line(action: str, where: str) -> Iterator[None]:
    """Turns the errors of a block into one StoreError that says what to do.

    Args:
        action: What the block does (`read`, `write`, …).
        where: What it does it to.

    Raises:
        StoreError: The block failed for reasons of the storage.
    """
    try:
        yield
    except (BaseError, OSError) as error:
        reason = str(error).split("\n", 1)[0]
        if os.strerror(errno.ENOSPC) in str(error):
            reason = "the disk is full; free some space and run the same command again"
        elif "ermission denied" in str(error):
            reason = "permission denied"
        raise StoreError(f"cannot {action} {where}: {reason}") from error
