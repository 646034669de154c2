"""What a listing says about objects, and their bytes where they lie or in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import obstore

from agents.errors import StoreError
from tasks.objects import ObjectStore, one_line

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """One object of a listing.

    Attributes:
        path: Its path in the store.
        num_bytes: Its size.
        version: Changes whenever the object is written again.
        modified_s: When it was written, seconds since the epoch.
    """

    path: str
    num_bytes: int
    version: str
    modified_s: float


def list_meta(objects: ObjectStore, prefix: str) -> list[ObjectMeta]:
    """All objects under a prefix, sorted by path.

    Raises:
        StoreError: They could not be listed.
    """
    with one_line("list", f"{objects.root}/{prefix}"):
        found = obstore.list(objects._store, prefix, chunk_size=1000).collect()
    listed = [
        ObjectMeta(
            meta["path"],
            meta["size"],
            meta["e_tag"] or f"{meta['last_modified'].timestamp()}-{meta['size']}",
            meta["last_modified"].timestamp(),
        )
        for meta in found
    ]
    return sorted(listed, key=lambda meta: meta.path)


def local_file(objects: ObjectStore, path: str) -> Path:
    """Where an object's bytes can be read on this machine.

    Raises:
        StoreError: There is no such object.
    """
    found = objects.path_of(path)
    if not found.is_file():
        raise StoreError(f"{path} is missing from the store {objects.uri}")
    return found


def pieces(objects: ObjectStore, path: str) -> Iterator[bytes]:
    """The bytes of an object, a piece at a time.

    Raises:
        StoreError: There is no such object, or it cannot be read.
    """
    found = local_file(objects, path)
    with one_line("read", str(found)), found.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
