"""The filter's tables: what it reads of trajectories, and the examples that it takes from them.

Trajectories may be many more than memory holds, so that they stay in their file: the columns that
decide are read first, tokens only of what is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agents.errors import StoreError
from training.filters import INPUT_SCHEMA, signature_of

_BATCH_ROWS = 8192
_BUFFER = 1 << 20
_OWN = ("trajectory_id", "question_id", "stop_reason", "format_ok", "num_tool_calls", "num_tokens")
_CALLS = ("turns.list.element.action", "turns.list.element.arguments")
_EXAMPLE = ("trajectory_id", "question_id", "token_ids", "loss_mask")


def filter_columns(file: Path, *, signatures: bool) -> pa.Table:
    """What rewards and filter read: the columns of `INPUT_SCHEMA`, and `answer`.

    Args:
        file: The table of trajectories.
        signatures: Whether to write down what each trajectory did; else the signature is empty.

    Raises:
        StoreError: The file is damaged.
    """
    schema = pa.schema([*INPUT_SCHEMA, pa.field("answer", pa.string())])
    names = (*_OWN, "answer", *(_CALLS if signatures else ()))
    batches = []
    for batch in _batches(file, names):
        columns = {name: batch[name] for name in (*_OWN, "answer")}
        written = (
            [signature_of((c["action"], c["arguments"]) for c in turns) for turns in _turns(batch)]
            if signatures
            else [""] * batch.num_rows
        )
        columns["action_signature"] = pa.array(written, pa.string())
        arrays = [columns[field.name].cast(field.type) for field in schema]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema)


def examples_of(file: Path, kept: pa.ChunkedArray) -> pa.Table:
    """The SFT examples of kept trajectories, in the order of the file.

    Args:
        file: The table of trajectories.
        kept: Ids of those that are kept.

    Raises:
        StoreError: The file is damaged.
    """
    schema = pa.schema(
        [
            ("trajectory_id", pa.string()),
            ("question_id", pa.string()),
            ("token_ids", pa.list_(pa.int32())),
            ("loss_mask", pa.list_(pa.int8())),
        ]
    )
    ids = pa.concat_arrays([pa.array([], pa.string()), *kept.chunks])
    found = []
    for batch in _batches(file, _EXAMPLE) if len(ids) else ():
        chosen = batch.filter(pc.is_in(batch["trajectory_id"], ids))
        if chosen.num_rows:
            arrays = [chosen[field.name].cast(field.type) for field in schema]
            found.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(found, schema)


def _turns(batch: pa.RecordBatch) -> list[list[dict[str, str]]]:
    turns: list[list[dict[str, str]]] = batch["turns"].to_pylist()
    return turns


def _batches(file: Path, names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    try:
        # Through a buffer: a column chunk read whole, or mapped, would count by its full size.
        with pq.ParquetFile(file, buffer_size=_BUFFER) as opened:
            yield from opened.iter_batches(_BATCH_ROWS, columns=list(names))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n", 1)[0]
        raise StoreError(f"{file} is damaged: {reason}") from error
