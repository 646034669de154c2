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
from tasks.manifest import Manifest
from tasks.object_meta import local_file, pieces
from tasks.objects import ObjectStore
from tasks.schemas import TABLES


def table_dataset(
    objects: ObjectStore, kind: str, schema: pa.Schema, manifests: pa.Table
) -> pads.Dataset:
    """All tables of a kind as one, with the columns of where they come from.

    Args:
        objects: The store.
        kind: The kind of table.
        schema: Columns of its view: `run`, `iteration`, `artifact`, then its own.
        manifests: The index's manifests of this kind, the oldest first.
    """
    fields = [pa.field(field.name, field.type) for field in schema]
    format_ = pads.ParquetFileFormat()
    filesystem = LocalFileSystem()
    own_iteration = "iteration" in TABLES[kind].schema.names
    columns = ["digest", "run", "iteration", "rows_iteration", "files"]
    fragments: dict[str, pads.FileFragment] = {}
    for row in manifests.select(columns).to_pylist():
        # Equal content made twice is one artifact; it belongs to whoever made it first.
        if row["digest"] in fragments:
            continue
        where = (pc.field("run") == row["run"]) & (pc.field("artifact") == row["digest"])
        iteration = row["rows_iteration"] if own_iteration else row["iteration"]
        if iteration is not None:
            where &= pc.field("iteration") == pa.scalar(iteration, pa.int32())
        fragments[row["digest"]] = format_.make_fragment(
            str(objects.path_of(row["files"][0]["path"])), filesystem, where
        )
    return pads.FileSystemDataset(list(fragments.values()), pa.schema(fields), format_, filesystem)


def checked_table_file(objects: ObjectStore, manifest: Manifest) -> Path:
    """The file of a table on this machine, its bytes those of the manifest.

    Raises:
        StoreError: It is missing or damaged.
    """
    (file,) = manifest.files
    digest = hashlib.sha256()
    for piece in pieces(objects, file.path):
        digest.update(piece)
    if digest.hexdigest() != file.sha256:
        raise StoreError(f"{file.path} is damaged: its digest is not the manifest's")
    return local_file(objects, file.path)


def read_columns(
    objects: ObjectStore, path: str, columns: Sequence[str], where: pc.Expression | None = None
) -> pa.Table:
    """Some columns of one table, and some of its rows.

    Args:
        objects: The store.
        path: The table's object.
        columns: Which columns; one that the file lacks is left out.
        where: Which rows; None: all.

    Raises:
        StoreError: It is missing or damaged.
    """
    file = local_file(objects, path)
    try:
        known = set(pq.read_schema(file).names)
        return pq.read_table(file, columns=[c for c in columns if c in known], filters=where)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n", 1)[0]
        raise StoreError(f"{path} is damaged: {reason}") from error
