"""Files of conversations in any form: read row by row, written whole or not at all.

A row that is no conversation is counted with its line and reason, and the others are read. What is
written is read back at once, row by row: what differs is what the form cannot hold, and is said.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from agents.errors import UsageError
from training.construction.formats import llama_factory, table, trl, webdancer
from training.construction.formats.conversation import Conversation
from training.construction.formats.losses import losses_of
from training.construction.formats.problems import (
    BadRow,
    Loss,
    Reading,
    RowError,
    RowProblem,
    Writing,
)

_ROWS_A_GROUP = 256


class Form(StrEnum):
    """A form of conversations in a file."""

    WEBDANCER = "webdancer"
    TRL_MESSAGES = "trl-messages"
    TRL_PROMPT_COMPLETION = "trl-prompt-completion"
    TRL_TOOLS = "trl-tools"
    SHAREGPT = "sharegpt"
    ALPACA = "alpaca"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class _Codec:
    read: Callable[[Mapping[str, Any]], Conversation]
    write: Callable[[Conversation], dict[str, Any] | None]


_CODECS = {
    Form.WEBDANCER: _Codec(webdancer.from_row, webdancer.to_row),
    Form.TRL_MESSAGES: _Codec(trl.from_row, trl.to_messages_row),
    Form.TRL_PROMPT_COMPLETION: _Codec(trl.from_row, trl.to_prompt_completion_row),
    Form.TRL_TOOLS: _Codec(trl.from_row, trl.to_tools_row),
    Form.SHAREGPT: _Codec(llama_factory.from_sharegpt_row, llama_factory.to_sharegpt_row),
    Form.ALPACA: _Codec(llama_factory.from_alpaca_row, llama_factory.to_alpaca_row),
    Form.PARQUET: _Codec(table.from_row, table.to_row),
}


def read_rows(path: Path, form: Form) -> Iterator[tuple[int, Conversation] | BadRow]:
    """Reads a file row by row; memory is that of one row (of a whole file, if it is a JSON list).

    Args:
        path: The file.
        form: Its form.

    Yields:
        Each conversation with its line, or what is wrong with a row.

    Raises:
        UsageError: The file cannot be read at all.
    """
    codec = _CODECS[form]
    try:
        rows = _parquet_rows(path) if form is Form.PARQUET else json_rows(path)
        for line, row in rows:
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                yield line, codec.read(row)
            except RowError as error:
                yield BadRow(line, error.problem, error.detail)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except pa.ArrowException as error:
        reason = str(error).split("\n", 1)[0]
        raise UsageError(f"{path} is no Parquet file that can be read: {reason}") from error


def read_file(path: Path, form: Form) -> Reading:
    """Reads a whole file.

    Raises:
        UsageError: The file cannot be read at all.
    """
    conversations, lines, bad = [], [], []
    for row in read_rows(path, form):
        if isinstance(row, BadRow):
            bad.append(row)
        else:
            lines.append(row[0])
            conversations.append(row[1])
    return Reading(conversations, lines, bad)


def write_file(conversations: Iterable[Conversation], path: Path, form: Form) -> Writing:
    """Writes a file; it appears under its name when it is complete.

    Returns:
        What was written, and what the form could not hold of it.

    Raises:
        UsageError: The file cannot be written.
    """
    codec, losses, num_written = _CODECS[form], [], 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal num_written
        for conversation in conversations:
            row = codec.write(conversation)
            losses.extend(_losses(conversation, row, codec))
            if row is not None:
                num_written += 1
                yield row

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as stream:
                if form is Form.PARQUET:
                    _write_parquet(rows(), stream)
                else:
                    for row in rows():
                        stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    return Writing(num_written, losses)


def _losses(conversation: Conversation, row: dict[str, Any] | None, codec: _Codec) -> list[Loss]:
    if row is None:
        return losses_of(conversation, None, "the form ends on a turn, and this one does not")
    try:
        return losses_of(conversation, codec.read(row))
    except RowError as error:
        # It stands in the file all the same; whoever reads it should know.
        return losses_of(conversation, None, f"it cannot be read back: {error.detail}")


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """Objects of a JSONL file by line, or of a JSON list by entry, from 1; or what is wrong there.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        first = stream.readline()
        while first and not first.strip():
            first = stream.readline()
        if first.lstrip().startswith(b"["):
            listed = _parsed(path.read_bytes(), 1)
            if isinstance(listed, list):
                for number, each in enumerate(listed, start=1):
                    yield number, _object(each, number)
                return
            # A first line that is a list by itself is a bad row before others.
            if isinstance(listed, BadRow) and isinstance(_parsed(first, 1), BadRow):
                yield 1, listed
                return
        stream.seek(0)
        for line, data in enumerate(stream, start=1):
            if data.strip():
                yield line, _object(_parsed(data, line), line)


def _parsed(data: bytes, line: int) -> Any:
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=_no_constant)
        # Escapes such as \ud800 make strings that no file can hold.
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        return BadRow(line, RowProblem.NOT_TEXT, str(error))
    except (ValueError, RecursionError) as error:
        return BadRow(line, RowProblem.NOT_JSON, str(error))
    return value


def _object(value: Any, line: int) -> dict[str, Any] | BadRow:
    if isinstance(value, dict | BadRow):
        return value
    return BadRow(line, RowProblem.NOT_AN_OBJECT, f"got {type(value).__name__}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with pq.ParquetFile(path) as file:
        rows = table.batches(file.iter_batches(batch_size=_ROWS_A_GROUP))
        yield from enumerate(rows, start=1)


def _write_parquet(rows: Iterator[dict[str, Any]], stream: IO[bytes]) -> None:
    with pq.ParquetWriter(stream, table.SCHEMA, compression="zstd") as writer:
        group: list[dict[str, Any]] = []
        for row in rows:
            group.append(row)
            if len(group) == _ROWS_A_GROUP:
                writer.write_table(pa.Table.from_pylist(group, table.SCHEMA))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, table.SCHEMA))
