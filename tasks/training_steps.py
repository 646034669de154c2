"""The steps of a training in the store: while it runs, and as an artifact once it is done.

A stage at work appends its steps to shards below `partial/<stage key>/steps`. A stage that goes on
from a checkpoint begins them anew with the checkpoint's own reports, so that a step whose weights
were lost is not there twice. The stage's end turns them into the artifact `training_steps`. The
view of that name shows both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import pyarrow as pa

from tasks.artifacts import ArtifactStore
from tasks.runs import StageRecord
from tasks.schemas import TABLES
from tasks.shards import ShardLog
from tasks.tables import conform
from training.reports import StepReport

TRAINING_STEPS = "training_steps"
"""Kind of the table, and its name among a stage's artifacts."""

_KIND = TABLES[TRAINING_STEPS]
_STAGES = ("sft", "rl")
_FOLDER = "steps"
_EVERY_S = 1.0
_EVERY_SHARE = 0.01
"""A shard is due after this share of the training's time so far: a long one has few of them."""


def step_row(stage: str, report: StepReport, mfu: float | None = None) -> dict[str, Any]:
    """A step as a row: figures with a column of their own there, all others by name.

    Args:
        stage: `sft` or `rl`.
        report: The step.
        mfu: Its model FLOPs utilisation, None where it is not known.
    """
    row: dict[str, Any] = {
        "stage": stage,
        "step": report.step,
        "num_steps": report.num_steps,
        "loss": report.loss,
        "grad_norm": report.grad_norm,
        "learning_rate": report.learning_rate,
        "tokens": report.tokens,
        "wall_s": report.wall_s,
        "tokens_per_s": report.tokens / report.wall_s if report.wall_s > 0 else 0.0,
        "mfu": mfu,
        "reward_mean": report.reward_mean,
        "num_mixed_groups": report.num_mixed_groups,
    }
    columns = set(_KIND.schema.names) - set(row)
    more = dict(sorted(report.metrics.items()))
    row |= {name: value for name, value in more.items() if name in columns}
    rest = [(name, value) for name, value in more.items() if name not in columns]
    # Seconds differ from run to run where all else is equal: they stay outside the digest.
    row["metrics"] = [pair for pair in rest if not pair[0].endswith("_s")]
    row["timings"] = [pair for pair in rest if pair[0].endswith("_s")]
    return row


class StepLog:
    """The steps of one stage at work.

    Args:
        store: Where they are kept.
        stage_key: Key of the stage.
    """

    def __init__(self, store: ArtifactStore, stage_key: str) -> None:
        self._shards = ShardLog(store, stage_key, TRAINING_STEPS, _FOLDER)
        self._waiting: list[Mapping[str, Any]] = []
        self._began_at = time.monotonic()
        self._written_at = -math.inf

    def begin(self, before: Sequence[Mapping[str, Any]]) -> None:
        """Begins anew, after the steps done before.

        Args:
            before: Rows of the checkpoint that the training goes on from.

        Raises:
            StoreError: They could not be written.
        """
        self._shards.clear()
        self._shards.append(before)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Writes what is left at the end of a block, however it ends."""
        try:
            yield
        finally:
            self._write()

    def add(self, row: Mapping[str, Any]) -> None:
        """Takes a step, and writes what has come where a shard is due.

        Raises:
            StoreError: The shard could not be written.
        """
        self._waiting.append(row)
        now = time.monotonic()
        due = max(_EVERY_S, _EVERY_SHARE * (now - self._began_at))
        if now - self._written_at >= due:
            self._write()

    def _write(self) -> None:
        self._shards.append(self._waiting)
        self._waiting = []
        self._written_at = time.monotonic()


def steps_of(store: ArtifactStore, stage: StageRecord) -> list[dict[str, Any]]:
    """The steps of one stage of a run, made or reused, or those that it has done so far.

    Raises:
        StoreError: They cannot be read.
    """
    for ref in stage.artifacts:
        if ref.kind == TRAINING_STEPS:
            rows: list[dict[str, Any]] = store.read_table(ref).to_pylist()
            return rows
    if stage.stage not in _STAGES or not stage.key:
        return []
    found = ShardLog(store, stage.key, TRAINING_STEPS, _FOLDER).rows()
    return sorted(found, key=itemgetter("step"))


def live_steps(store: ArtifactStore, manifests: pa.Table, stages: pa.Table) -> pa.Table | None:
    """The steps of stages that have not come to their artifact: at work, stopped or failed.

    Args:
        store: The store.
        manifests: The index's manifests of this kind.
        stages: The index's stages, in the order they started.

    Returns:
        Rows as of the view, without an artifact's digest; None where there are none.

    Raises:
        StoreError: A shard is damaged.
    """
    done = set(manifests["key"].to_pylist())
    columns = ["run", "iteration", "stage", "status", "key"]
    # Where several runs wait for one key, its rows are those of the run that came last.
    open_ = {
        row["key"]: row
        for row in stages.select(columns).to_pylist()
        if row["stage"] in _STAGES and row["key"] and row["status"] not in ("done", "skipped")
    }
    found = []
    for key, stage in open_.items():
        if key in done:
            continue
        rows = conform(_KIND, ShardLog(store, key, TRAINING_STEPS, _FOLDER).rows())
        where = {"artifact": "", "iteration": stage["iteration"], "run": stage["run"]}
        for name, value in where.items():
            kind = pa.int32() if name == "iteration" else pa.string()
            rows = rows.add_column(0, name, pa.repeat(pa.scalar(value, kind), rows.num_rows))
        found.append(rows)
    return pa.concat_tables(found) if found else None
