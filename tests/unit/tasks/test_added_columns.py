"""Columns that a kind of table got later leave the digests of older tables alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.artifacts import ArtifactStore
from tasks.benchmark_rows import scored
from tasks.care.verification import verify_store
from tasks.digests import table_digest
from tasks.schemas import TABLES, TableKind, is_added
from tasks.tables import conform, to_parquet

ANSWERS = TABLES["answers"]
OLD = {
    "policy": "p",
    "benchmark": "nq",
    "question_id": "q",
    "trajectory_id": "t",
    "predicted": "Paris",
    "golds": ["Paris"],
    "em": 1.0,
    "f1": 1.0,
    "accuracy": 1.0,
    "judge": None,
    "stop_reason": "answer",
    "num_tokens": 4,
    "num_tool_calls": 1,
}


def as_it_was(kind: TableKind) -> TableKind:
    fields = [field for field in kind.schema if not is_added(field)]
    names = {field.name for field in fields}
    key = tuple(name for name in kind.key if name in names)
    return replace(kind, key=key, schema=pa.schema(fields))


@pytest.fixture
def old_table() -> pa.Table:
    return conform(as_it_was(ANSWERS), [OLD])


def test_an_older_table_keeps_its_digest(old_table: pa.Table) -> None:
    assert "attempt" not in old_table.column_names
    was = table_digest(as_it_was(ANSWERS), old_table)
    read = conform(ANSWERS, [OLD])
    assert read["attempt"].null_count == 1
    assert table_digest(ANSWERS, read) == was


def test_what_a_later_column_says_counts() -> None:
    digests = {
        table_digest(ANSWERS, conform(ANSWERS, [{**OLD, "attempt": attempt}]))
        for attempt in (None, 0, 1)
    }
    assert len(digests) == 3


def test_answers_of_an_older_store_are_read_verified_and_were_judged_by_rule(
    tmp_path: Path, old_table: pa.Table
) -> None:
    store = ArtifactStore.open(tmp_path)
    digest = table_digest(as_it_was(ANSWERS), old_table)
    store.objects.put_new(f"artifacts/answers/{digest}/rows.parquet", to_parquet(old_table))
    ref = store.write_table("answers", [OLD], stage_key="benchmark-1", name="answers")
    assert ref.digest == digest
    [row] = store.read_table(ref).to_pylist()
    assert (row["attempt"], scored(row).correct) == (None, 1.0)
    assert list(verify_store(store).problems) == []
