"""The catalog's index: every manifest and record of a store as columns, kept up to date by listing.

The store is listed each time; only documents that are new, or of another version than the index
holds, are read. The index is a file of the user's cache, replaced as a whole, and never the record:
one that is missing, damaged or of another store is made anew. It holds, after its own digest, that
of the listing it was made from and one Arrow table for each kind of document.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from agents.assets.files import cache_dir
from agents.progress import progress
from tasks.catalog_documents import DOCUMENTS, DocumentKind
from tasks.storage.objects import ObjectMeta, ObjectStore

FORMAT = b"evolvesearch catalog 2\n".ljust(64)
"""Beginning of an index, which goes up with every change of what it holds; as long as Arrow's
tables behind it need to lie where their numbers are read fastest."""

_DIGEST = 32
"""Bytes of a digest in the index."""
_WORTH_AN_INDEX = 256
"""Fewer documents are read again in no time."""
_FORGOTTEN_AFTER_S = 90 * 24 * 3600.0
"""An index that no store has used for so long is removed."""
_AT_ONCE = 500


@dataclass(frozen=True)
class CatalogIndex:
    """All documents of a store, as they were when it was listed.

    Attributes:
        manifests: One row a manifest, the oldest first; columns as in `tasks.catalog_documents`.
        runs: One row a run's record.
        stages: One row a stage's record.
        num_read: Documents that had to be read, because the index did not hold them.
    """

    manifests: pa.Table
    runs: pa.Table
    stages: pa.Table
    num_read: int


def index_file(objects: ObjectStore) -> Path:
    """Where the index of a store lies in the user's cache."""
    name = hashlib.sha256(objects.uri.encode()).hexdigest()[:24]
    return cache_dir() / "catalog" / f"{name}.index"


def open_index(
    objects: ObjectStore, *, file: Path | None = None, worth_keeping: int = _WORTH_AN_INDEX
) -> CatalogIndex:
    """Lists a store and reads what its index does not hold.

    Any number of processes may do so at once, while others write to the store.

    Args:
        objects: The store.
        file: The index; None: the one in the user's cache.
        worth_keeping: Fewer documents make no index.

    Raises:
        StoreError: A document is damaged, or the store cannot be read.
    """
    file = file or index_file(objects)
    with ThreadPoolExecutor(2, thread_name_prefix="listing") as pool:
        listings = pool.map(objects.list_meta, ("manifests", "runs"))
        known = _load(file)
        manifests, records = listings
    listed = [*manifests, *records]
    listing = _digest_of(listed)
    if known and known[0] == listing:
        return CatalogIndex(*known[1], num_read=0)
    tables: list[pa.Table] = []
    num_read = 0
    for position, kind in enumerate(DOCUMENTS):
        before = known[1][position] if known else kind.schema.empty_table()
        documents = [meta for meta in listed if kind.matches(meta.path)]
        table, read = _refreshed(objects, kind, documents, before)
        num_read += read
        tables.append(table)
    if len(listed) >= worth_keeping:
        _save(file, listing, tables)
    return CatalogIndex(tables[0], tables[1], tables[2], num_read)


def _refreshed(
    objects: ObjectStore, kind: DocumentKind, listed: Sequence[ObjectMeta], before: pa.Table
) -> tuple[pa.Table, int]:
    """The rows of the listed documents, and how many of them had to be read."""
    paths, versions = before["path"].to_pylist(), before["version"].to_pylist()
    known = {pair: row for row, pair in enumerate(zip(paths, versions, strict=True))}
    kept: list[int] = []
    new: list[ObjectMeta] = []
    for meta in listed:
        row = known.get((meta.path, meta.version))
        if row is None:
            new.append(meta)
        else:
            kept.append(row)
    if not new and len(kept) == len(known):
        return before, 0
    added = pa.Table.from_pylist(_read(objects, kind, new), schema=kind.schema)
    table = pa.concat_tables([before.take(pa.array(kept, pa.int64())), added])
    order = [(name, "ascending") for name in kind.order]
    return table.sort_by(order).combine_chunks(), len(new)


def _read(
    objects: ObjectStore, kind: DocumentKind, documents: Sequence[ObjectMeta]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    if not documents:
        return rows
    with progress(f"Read {kind.name}", len(documents), "documents") as bar:
        for first in range(0, len(documents), _AT_ONCE):
            part = documents[first : first + _AT_ONCE]
            contents = objects.get_many([meta.path for meta in part])
            for meta, data in zip(part, contents, strict=True):
                # Removed since it was listed: then it is no part of the store.
                if data is not None:
                    where = {"path": meta.path, "version": meta.version}
                    rows.append(kind.row(data, meta.path) | where)
            bar.advance(len(part))
    return rows


def _digest_of(listed: Sequence[ObjectMeta]) -> bytes:
    """Digest of a listing: the same as long as no document has come, gone or changed."""
    text = "\n".join([f"{meta.path}\0{meta.version}" for meta in listed])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


_Tables = tuple[pa.Table, pa.Table, pa.Table]


def _load(file: Path) -> tuple[bytes, _Tables] | None:
    """The listing and the tables of an index; None where there is none that can be used."""
    try:
        data = file.read_bytes()
        head, digest = data[: len(FORMAT)], data[len(FORMAT) :][:_DIGEST]
        body = memoryview(data)[len(FORMAT) + _DIGEST :]
        if head != FORMAT or hashlib.sha256(body).digest() != digest:
            return None
        reader = pa.BufferReader(pa.py_buffer(body[_DIGEST:]))
        manifests, runs, stages = (pa.ipc.open_stream(reader).read_all() for _ in DOCUMENTS)
        tables = (manifests, runs, stages)
    except (OSError, pa.ArrowException):
        return None
    fits = all(t.schema.equals(k.schema) for t, k in zip(tables, DOCUMENTS, strict=True))
    if not fits:
        return None
    with suppress(OSError):
        os.utime(file)
    return bytes(body[:_DIGEST]), tables


def _save(file: Path, listing: bytes, tables: Sequence[pa.Table]) -> None:
    """Replaces an index as a whole; where the cache cannot be written, there is none."""
    sink = pa.BufferOutputStream()
    for table in tables:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    body = listing + sink.getvalue().to_pybytes()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
        try:
            with os.fdopen(handle, "wb") as temporary:
                temporary.write(FORMAT + hashlib.sha256(body).digest() + body)
            os.replace(name, file)
        except BaseException:
            os.unlink(name)
            raise
        for other in file.parent.iterdir():
            if other.stat().st_mtime < time.time() - _FORGOTTEN_AFTER_S:
                other.unlink(missing_ok=True)
