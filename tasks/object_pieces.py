"""The bytes of an object in pieces, wherever it lies, and never from a cache."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from agents.errors import StoreError
from tasks.objects import ObjectStore
from tasks.store_errors import one_line

_PIECE = 1 << 20


def pieces(objects: ObjectStore, path: str) -> Iterator[bytes]:
    """Reads an object a piece at a time; one of a remote store by way of a temporary file.

    Raises:
        StoreError: There is no such object, or it cannot be read.
    """
    own = objects.path_of(path)
    if own is not None:
        yield from _of_file(own, path, objects.uri)
        return
    with tempfile.TemporaryDirectory(prefix="evolvesearch-object-") as folder:
        copy = Path(folder) / "object"
        objects.get_file(path, copy)
        yield from _of_file(copy, path, objects.uri)


def _of_file(file: Path, path: str, uri: str) -> Iterator[bytes]:
    if not file.is_file():
        raise StoreError(f"{path} is missing from the store {uri}")
    with one_line("read", str(file)), file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece
