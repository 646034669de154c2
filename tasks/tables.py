"""Rows in the declared shape, and their Parquet form."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agents.errors import StoreError
from tasks.schemas import TABLES, TableKind
from tasks.storage.errors import one_line


def kind_of(name: str) -> TableKind:
    """The declaration of a kind of table.

    Raises:
        StoreError: There is no such kind.
    """
    if name not in TABLES:
        raise StoreError(f"kind of table {name!r}: expected one of {', '.join(TABLES)}")
    return TABLES[name]


def conform(kind: TableKind, rows: pa.Table | Sequence[Mapping[str, Any]]) -> pa.Table:
    """Brings rows into the declared columns, sorted by key.

    Args:
        kind: What the rows are.
        rows: A table, or row dictionaries; a nullable column may be left out.

    Raises:
        StoreError: A column is unknown, missing or of the wrong type, or a key is doubled.
    """
    if isinstance(rows, pa.Table):
        given = set(rows.column_names)
    else:
        given = set().union(*rows) if rows else set(kind.schema.names)
    unknown = sorted(given - set(kind.schema.names))
    if unknown:
        raise StoreError(f"{kind.name}: unknown columns {', '.join(unknown)}")
    missing = [f.name for f in kind.schema if f.name not in given and not f.nullable]
    if missing:
        raise StoreError(f"{kind.name}: missing columns {', '.join(missing)}")
    try:
        if isinstance(rows, pa.Table):
            table = _completed(kind.schema, rows)
        else:
            table = pa.Table.from_pylist(_sorted(kind, rows), schema=kind.schema)
    except (pa.ArrowException, ValueError, TypeError) as error:
        reason = str(error).split("\n", 1)[0]
        raise StoreError(f"{kind.name}: rows do not fit the declared columns: {reason}") from error
    for field in kind.schema:
        if not field.nullable and table[field.name].null_count:
            raise StoreError(f"{kind.name}: column {field.name} must not be null")
    return _ordered(kind, table)


def to_parquet(table: pa.Table) -> bytes:
    """A table as one Parquet file."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    data: bytes = buffer.getvalue().to_pybytes()
    return data


def write_parquet_file(table: pa.Table, file: Path) -> None:
    """Writes a table to a file outside the store, which appears whole.

    Raises:
        StoreError: It could not be written.
    """
    with one_line("write", str(file)):
        handle, name = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}-")
        try:
            with os.fdopen(handle, "wb") as target:
                pq.write_table(table, target, compression="zstd")
            os.chmod(name, 0o644)
            os.replace(name, file)
        except BaseException:
            os.unlink(name)
            raise


def from_parquet(kind: TableKind, data: bytes, path: str) -> pa.Table:
    """Reads a Parquet file of the declared columns.

    Args:
        kind: What the rows are.
        data: The file's bytes.
        path: Where it lies, for the error.

    Raises:
        StoreError: The file is damaged, or has other columns.
    """
    try:
        return _completed(kind.schema, pq.ParquetFile(pa.BufferReader(data)).read())
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = str(error).split("\n", 1)[0]
        raise StoreError(f"{path} is damaged: {reason}") from error


def _completed(schema: pa.Schema, table: pa.Table) -> pa.Table:
    columns = []
    for field in schema:
        if field.name in table.column_names:
            column = table[field.name]
            columns.append(column if column.type == field.type else column.cast(field.type))
        elif field.nullable:
            columns.append(pa.nulls(table.num_rows, field.type))
        else:
            raise KeyError(f"no column {field.name}")
    return pa.Table.from_arrays(columns, schema=schema)


def _sorted(kind: TableKind, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows by key where their keys can be compared: cheaper here than once they are columns."""
    try:
        return sorted(rows, key=itemgetter(*kind.key))
    except (KeyError, TypeError):
        return list(rows)  # what is wrong with them is told where the columns are checked


def _ordered(kind: TableKind, table: pa.Table) -> pa.Table:
    """A table by key, each key once."""
    keys = _keys(kind, table)
    if any(key >= following for key, following in pairwise(keys)):
        table = table.sort_by([(name, "ascending") for name in kind.key])
        for key, following in pairwise(_keys(kind, table)):
            if key == following:
                raise StoreError(f"{kind.name}: {', '.join(map(str, key))} is there twice")
    return table


def _keys(kind: TableKind, table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in kind.key), strict=True))
