"""Rows of a file in any of the common forms, each with its place for error messages."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.errors import UsageError

_MAX_CELL = 1 << 24
"""Most characters of one cell of a CSV file; Python's own limit is 128 KiB."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file.

    Attributes:
        place: Where it stands, as `questions.jsonl line 7`.
        values: Its cells by column.
    """

    place: str
    values: Mapping[str, Any]


def read_rows(path: Path, suffix: str | None = None) -> list[Row]:
    """Reads all rows of a file.

    Args:
        path: A file whose ending says its form: `.jsonl`, `.json` (a list of objects, or one
            object a line), `.csv`, `.tsv` or `.parquet`.
        suffix: The ending, where the file's own does not say it.

    Raises:
        UsageError: The file cannot be read, has no rows, or a row is malformed.
    """
    form = (suffix or path.suffix).lower()
    if form not in _READERS:
        raise UsageError(
            f"{path}: cannot tell its form from its ending {form!r}; "
            f"expected one of {', '.join(_READERS)}"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    rows = list(_READERS[form](data, path.name))
    if not rows:
        raise UsageError(f"{path} holds no question")
    return rows


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{name} line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as "
            "UTF-8, as with `iconv -f latin1 -t utf-8`"
        ) from error


def _json_lines(data: bytes, name: str) -> Iterator[Row]:
    # Not splitlines: a JSON text may hold separators (U+2028) that it would split at.
    for number, line in enumerate(_text(data, name).split("\n"), start=1):
        if line.strip():
            place = f"{name} line {number}"
            yield Row(place, _object(_parsed(line, place), place))


def _json(data: bytes, name: str) -> Iterator[Row]:
    text = _text(data, name)
    if not text.lstrip().startswith("["):
        yield from _json_lines(data, name)
        return
    for number, value in enumerate(_parsed(text, name), start=1):
        place = f"{name} entry {number}"
        yield Row(place, _object(value, place))


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{place}: not JSON ({error})") from error
    except RecursionError as error:
        raise UsageError(f"{place}: JSON nested too deeply") from error


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{place}: expected an object, got {type(value).__name__}")
    return value


def _separated(data: bytes, name: str, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(_MAX_CELL)
    stream = io.StringIO(_text(data, name), newline="")
    reader = csv.DictReader(stream, delimiter=delimiter, restkey="", strict=True)
    try:
        for values in reader:
            place = f"{name} line {reader.line_num}"
            if "" in values and isinstance(values[""], list):
                raise UsageError(
                    f"{place}: more cells than the {len(reader.fieldnames or ())} columns of the "
                    "first line; quote cells that hold the separator"
                )
            yield Row(place, values)
    except csv.Error as error:
        raise UsageError(f"{name} line {reader.reader.line_num}: not CSV ({error})") from error


def _parquet(data: bytes, name: str) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        values = pq.read_table(pa.BufferReader(data)).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UsageError(f"{name}: not a Parquet file that can be read ({reason})") from error
    for number, each in enumerate(values, start=1):
        yield Row(f"{name} row {number}", each)


_READERS: dict[str, Callable[[bytes, str], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": lambda data, name: _separated(data, name, ","),
    ".tsv": lambda data, name: _separated(data, name, "\t"),
    ".parquet": _parquet,
}
