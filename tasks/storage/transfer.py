"""Moves objects to and from files in parts, several at once, in bounded memory."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import obstore

if TYPE_CHECKING:
    from obstore import Bytes, GetOptions, GetResult
    from obstore.store import ObjectStore as Handle

    Parts = Generator[Bytes, None, None]


class Transfers:
    """Reads and writes of whole objects of one store.

    Args:
        handle: The open store.
        part_bytes: Size of a part; what is smaller goes in one request.
        num_at_once: Parts that are on their way at once.
    """

    def __init__(self, handle: Handle, part_bytes: int, num_at_once: int) -> None:
        self._handle = handle
        self._part_bytes = part_bytes
        self._num_at_once = num_at_once

    def size(self, path: str) -> int | None:
        """Bytes of an object, None where there is none."""
        try:
            return obstore.head(self._handle, path)["size"]
        except FileNotFoundError:
            return None

    def send(self, path: str, file: Path) -> None:
        """Writes a file into an object."""
        obstore.put(
            self._handle,
            path,
            file,
            chunk_size=self._part_bytes,
            max_concurrency=self._num_at_once,
        )

    def read(self, path: str) -> bytes | None:
        """The content of an object, None where there is none."""
        parts = self.parts(path)
        if parts is None:
            return None
        with closing(parts):
            return b"".join(parts)

    def fetch(self, path: str, file: Path) -> str | None:
        """Writes an object into a file; returns the digest of its content, None for no object."""
        parts = self.parts(path)
        if parts is None:
            return None
        digest = hashlib.sha256()
        with closing(parts), file.open("wb") as out:
            for part in parts:
                digest.update(part)
                out.write(part)
        return digest.hexdigest()

    def parts(self, path: str) -> Parts | None:
        """The content in order, None where there is no object."""
        try:
            answer = obstore.get(self._handle, path)
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
                raise
            return None
        meta = answer.meta
        if meta["size"] <= self._part_bytes:
            return _whole(answer)
        return self._ranges(path, meta["size"], meta["e_tag"])

    def _ranges(self, path: str, size: int, e_tag: str | None) -> Parts:
        def fetch(start: int) -> Bytes:
            options: GetOptions = {"range": (start, min(start + self._part_bytes, size))}
            if e_tag is not None:
                options["if_match"] = e_tag  # all parts are of one version
            return obstore.get(self._handle, path, options=options).bytes()

        starts = iter(range(0, size, self._part_bytes))
        waiting: deque[Future[Bytes]] = deque()
        with ThreadPoolExecutor(self._num_at_once) as pool:
            try:
                for start in starts:
                    waiting.append(pool.submit(fetch, start))
                    if len(waiting) >= self._num_at_once:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


def _whole(answer: GetResult) -> Parts:
    yield answer.bytes()
