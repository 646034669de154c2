"""The rollouts of a step as a file, from the driver to the main rank."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from training.step_rows import StepRows

_FIGURES = b"evolvesearch.figures"


def write_rows(rows: StepRows, path: Path) -> Path:
    """Writes the rollouts of a step."""
    table = pa.table(dict(rows.fields))
    figures = json.dumps(dict(rows.figures)).encode()
    pq.write_table(table.replace_schema_metadata({_FIGURES: figures}), path)
    return path


def read_rows(path: Path) -> StepRows:
    """Reads what `write_rows` wrote."""
    table = pq.read_table(path)
    figures = json.loads(table.schema.metadata[_FIGURES])
    return StepRows(table.to_pydict(), figures)
