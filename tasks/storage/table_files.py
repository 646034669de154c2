"""The tables of a store where they lie: one dataset a kind, read only where a query needs it.

Each file is a fragment that says, before it is opened, of which run, iteration and artifact its
rows are. A filter on these leaves the other files closed, and in a remote store unfetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

from agents.errors import StoreError
from tasks.artifacts import ArtifactStore
from tasks.manifest import Manifest, StoredFile
from tasks.schemas import TABLES
from tasks.storage.table_filesystem import table_filesystem


def table_dataset(
    store: ArtifactStore, kind: str, schema: pa.Schema, manifests: pa.Table
) -> pads.Dataset:
    """All tables of a kind as one, with the columns of where they come from.

    Args:
        store: The store.
        kind: The kind of table.
        schema: Columns of its view: `run`, `iteration`, `artifact`, then its own.
        manifests: The index's manifests of this kind, the oldest first.
    """
    format_ = pads.ParquetFileFormat()
    own_iteration = "iteration" in TABLES[kind].schema.names
    columns = ["digest", "run", "iteration", "rows_iteration", "files"]
    where: dict[str, pc.Expression] = {}
    files: dict[str, StoredFile] = {}
    for row in manifests.select(columns).to_pylist():
        file = StoredFile(**row["files"][0])
        # Equal content made twice is one artifact; it belongs to whoever made it first.
        if file.path in files:
            continue
        files[file.path] = file
        known = (pc.field("run") == row["run"]) & (pc.field("artifact") == row["digest"])
        iteration = row["rows_iteration"] if own_iteration else row["iteration"]
        if iteration is not None:
            known &= pc.field("iteration") == pa.scalar(iteration, pa.int32())
        where[file.path] = known
    if store.objects.is_remote:
        filesystem = table_filesystem(store.local, list(files.values()))
        paths = {path: path for path in files}
    else:
        filesystem = LocalFileSystem()
        paths = {path: str(store.local.table(file)) for path, file in files.items()}
    fragments = [
        format_.make_fragment(paths[path], filesystem, known) for path, known in where.items()
    ]
    return pads.FileSystemDataset(fragments, schema, format_, filesystem)


def checked_table_file(store: ArtifactStore, manifest: Manifest) -> Path:
    """The file of a table on this machine, its bytes those of the manifest.

    Raises:
        StoreError: It is missing or damaged.
    """
    (file,) = manifest.files
    # A copy of a remote object was checked when it was fetched.
    if not store.objects.is_remote:
        digest = hashlib.sha256()
        for piece in store.objects.pieces(file.path):
            digest.update(piece)
        if digest.hexdigest() != file.sha256:
            raise StoreError(f"{file.path} is damaged: its digest is not the manifest's")
    return store.local.table(file)


def read_columns(
    store: ArtifactStore,
    file: StoredFile,
    columns: Sequence[str],
    where: pc.Expression | None = None,
) -> pa.Table:
    """Some columns of one table, and some of its rows.

    Args:
        store: The store.
        file: The table's object.
        columns: Which columns; one that the file lacks is left out.
        where: Which rows; None: all.

    Raises:
        StoreError: It is missing or damaged.
    """
    path = store.local.table(file)
    if not path.is_file():
        raise StoreError(f"{file.path} is missing from the store {store.uri}")
    try:
        known = set(pq.read_schema(path).names)
        return pq.read_table(path, columns=[c for c in columns if c in known], filters=where)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n", 1)[0]
        raise StoreError(f"{file.path} is damaged: {reason}") from error
