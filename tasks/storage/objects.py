"""Named objects in a store: whole, immutable once written, and errors in one line.

The store is a local folder or a bucket (`tasks.storage.remote`); both behave alike. An object
becomes visible at once and whole: a local one is written beside its name and renamed, a remote one
appears when its last byte has arrived. With `remote` and `transfer` this is all that talks to
the object-store library (obstore).
"""

from __future__ import annotations

import os
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError

from agents.errors import StoreError
from tasks.storage.config import StoreConfig
from tasks.storage.errors import one_line
from tasks.storage.remote import Place, open_place
from tasks.storage.transfer import Transfers

T = TypeVar("T")

_MIB = 1 << 20
_MAX_PAUSE_S = 5.0

_REFUSALS = (
    r"status code: 4(?!04|08|09|29)|NoSuchBucket|ContainerNotFound"
    r"|ConnectionRefused|dns error|169\.254\.169\.254"
)
"""What a server says, or its absence, that no patience changes; 404 is not of them: an upload
that was completed although its answer was lost is not there to be completed again."""

_OVERTAKEN = r"InvalidBlockList|InvalidBlobOrBlock"
"""What Azure says to an upload in parts when another writer of the same object was first."""


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """What a listing says of an object.

    Attributes:
        path: Its path in the store.
        num_bytes: Its size.
        version: A text that differs once the object has been written anew.
        modified_s: When it was written, in seconds since the epoch.
    """

    path: str
    num_bytes: int
    version: str
    modified_s: float


class ObjectStore:
    """Objects under one URI, addressed by `/`-separated paths.

    Attributes:
        uri: Where the store lies.
        root: The folder it lies in; None where it lies on object storage.
        config: How it is reached.
    """

    def __init__(self, place: Place, config: StoreConfig) -> None:
        self.uri = place.uri
        self.root = place.root
        self.config = config
        self._name = str(place.root or place.uri)
        self._handle = place.handle
        self._transfers = Transfers(place.handle, config.part_mib * _MIB, config.num_transfers)

    @classmethod
    def open(cls, where: StoreConfig | str | Path) -> ObjectStore:
        """Opens a store; a local folder is made where it does not exist.

        Raises:
            UsageError: It names no store.
            StoreError: It cannot be made or reached.
        """
        config = StoreConfig.of(where)
        return cls(open_place(config), config)

    @property
    def is_remote(self) -> bool:
        """Whether the store lies on object storage."""
        return self.root is None

    def path_of(self, path: str) -> Path | None:
        """The file of an object; None where it lies on object storage."""
        return None if self.root is None else self.root / path

    def put_new(self, path: str, data: bytes) -> bool:
        """Writes an object unless one of this name exists.

        Returns:
            Whether it wrote; also where an answer was lost and the object now holds `data`.

        Raises:
            StoreError: It could not be written (disk full, no permission, …).
        """

        def create() -> bool:
            try:
                obstore.put(self._handle, path, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                # An earlier try may have arrived although its answer did not.
                return self.is_remote and self._transfers.read(path) == data
            return True

        with one_line("write", self._where(path)):
            return self._patiently(create)

    def put(self, path: str, data: bytes) -> None:
        """Writes an object, in place of the one of this name.

        Raises:
            StoreError: It could not be written.
        """
        with one_line("write", self._where(path)):
            self._patiently(lambda: obstore.put(self._handle, path, data, use_multipart=False))

    def put_file(self, path: str, file: Path) -> None:
        """Copies a file into an object, in parts at once and not through memory.

        Raises:
            StoreError: It could not be read or written.
        """
        with one_line("read", str(file)):
            file.stat()
        with one_line("write", self._where(path)):
            self._patiently(lambda: self._transfers.send(path, file))

    def get(self, path: str) -> bytes | None:
        """The content of an object, None where there is none.

        Raises:
            StoreError: It could not be read.
        """
        with one_line("read", self._where(path)):
            return self._patiently(lambda: self._transfers.read(path))

    def pieces(self, path: str) -> Iterator[bytes]:
        """The content of an object, a piece at a time and in bounded memory.

        Raises:
            StoreError: There is no such object, or it could not be read.
        """
        with one_line("read", self._where(path)):
            parts = self._patiently(lambda: self._transfers.parts(path))
            if parts is None:
                raise StoreError(f"{path} is missing from the store {self.uri}")
            with closing(parts):
                for part in parts:
                    yield bytes(part)

    def get_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """The content of many objects, in order; those of a remote store are asked for at once.

        Raises:
            StoreError: One could not be read.
        """
        if self.root is not None:
            return [self._read_local(self.root / path, path) for path in paths]
        with ThreadPoolExecutor(self.config.num_transfers) as pool:
            return list(pool.map(self.get, paths))

    def _read_local(self, file: Path, path: str) -> bytes | None:
        # Many small files are read several times as fast without the library.
        with one_line("read", self._where(path)):
            try:
                return file.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def get_file(self, path: str, local_file: Path, sha256: str | None = None) -> bool:
        """Copies an object into a file, in parts at once and not through memory.

        The file appears whole: it is written under another name beside it and renamed.

        Args:
            path: The object.
            local_file: The file to make or to replace; its folder must exist.
            sha256: Digest that the content must have; None: any.

        Returns:
            Whether there is such an object.

        Raises:
            StoreError: It could not be read or written, or its digest is another.
        """
        part = local_file.with_name(f".{local_file.name}.{uuid.uuid4().hex}")
        try:
            with one_line("read", self._where(path)):
                digest = self._patiently(lambda: self._transfers.fetch(path, part))
            if digest is None:
                return False
            if sha256 is not None and digest != sha256:
                raise StoreError(f"{self._where(path)} is damaged: its digest is not as recorded")
            with one_line("write", str(local_file)):
                os.replace(part, local_file)
        finally:
            part.unlink(missing_ok=True)
        return True

    def size(self, path: str) -> int | None:
        """Bytes of an object, None where there is none."""
        with one_line("read", self._where(path)):
            return self._patiently(lambda: self._transfers.size(path))

    def list_meta(self, prefix: str) -> list[ObjectMeta]:
        """All objects under a prefix (whole parts of a path), sorted by path."""
        with one_line("list", self._where(prefix)):
            found = self._patiently(lambda: obstore.list(self._handle, prefix).collect())
        listed = [
            ObjectMeta(
                meta["path"],
                meta["size"],
                meta["e_tag"] or meta["version"] or meta["last_modified"].isoformat(),
                meta["last_modified"].timestamp(),
            )
            for meta in found
        ]
        return sorted(listed, key=lambda meta: meta.path)

    def paths(self, prefix: str) -> list[str]:
        """Paths of all objects under a prefix (whole parts of a path), sorted."""
        return [meta.path for meta in self.list_meta(prefix)]

    def delete(self, paths: list[str]) -> None:
        """Removes objects; what is gone already is no error."""
        if not paths:
            return
        with one_line("delete from", self._name):
            self._patiently(lambda: self._delete(paths))

    def _delete(self, paths: list[str]) -> None:
        try:
            obstore.delete(self._handle, paths)
        except FileNotFoundError:
            for path in paths:
                try:
                    obstore.delete(self._handle, path)
                except FileNotFoundError:
                    continue

    def _patiently(self, action: Callable[[], T]) -> T:
        """Tries again what the library gave up on at once, such as a write that was cut.

        Every action here may be repeated: it ends in the same object, or reads.
        """
        deadline = time.monotonic() + self.config.retry_s
        pause = 0.1
        while True:
            try:
                return action()
            except (GenericError, FileNotFoundError) as error:
                late = time.monotonic() + pause >= deadline
                if not self.is_remote or late or not _may_pass(error):
                    raise
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _MAX_PAUSE_S)

    def _where(self, path: str) -> str:
        return f"{self._name}/{path}"


def _may_pass(error: Exception) -> bool:
    """Whether a failure may be gone at the next try: no word of the server's speaks against it."""
    text = str(error)
    return re.search(_OVERTAKEN, text) is not None or re.search(_REFUSALS, text) is None
