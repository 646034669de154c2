"""Digests of content: what stays equal when only timings, order or layout differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.schemas import TableKind, is_added, is_volatile


def table_digest(kind: TableKind, table: pa.Table) -> str:
    """Digest over a table's canonical rows, which must be sorted by the kind's key.

    Rows are written as JSON with sorted keys, so that neither the Parquet layout nor the
    library's version matters; volatile columns are left out, at any depth, and columns that older
    tables lack where all of them is null.
    """
    digest = hashlib.sha256(kind.name.encode())
    stable = [
        field
        for field in kind.schema
        if not is_volatile(field)
        and not (is_added(field) and table[field.name].null_count == table.num_rows)
    ]
    prune = [field.name for field in stable if _has_volatile(field.type)]
    by_name = {field.name: field.type for field in stable}
    for batch in table.select([field.name for field in stable]).to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            for name in prune:
                row[name] = _without_volatile(by_name[name], row[name])
            line = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(files: Iterable[tuple[str, str]]) -> str:
    """Digest over (name, digest) pairs, whatever their order."""
    lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def _has_volatile(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _has_volatile(kind.value_type)
    if pa.types.is_struct(kind):
        return any(is_volatile(field) or _has_volatile(field.type) for field in kind)
    return False


def _without_volatile(kind: pa.DataType, value: Any) -> Any:
    if value is None:
        return None
    if pa.types.is_list(kind):
        return [_without_volatile(kind.value_type, item) for item in value]
    if pa.types.is_struct(kind):
        return {
            field.name: _without_volatile(field.type, value[field.name])
            for field in kind
            if not is_volatile(field)
        }
    return value
