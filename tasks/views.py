"""The SQL views of the store: what each is, its columns, and how it is made.

Three groups: views of the tables that stages write (one per kind in `tasks.schemas`), the
`turns` inside the trajectories, and views of what manifests and records say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tasks.manifest import Manifest
from tasks.runs import RunRecord, StageRecord
from tasks.schemas import POLICIES, TABLES, column

_TEXT, _INT, _LONG, _REAL, _FLAG = (
    pa.string(),
    pa.int32(),
    pa.int64(),
    pa.float64(),
    pa.bool_(),
)

PROVENANCE = (
    column("run", _TEXT, "The run that made the artifact first."),
    column("iteration", _INT, "The iteration that made it first."),
    column("artifact", _TEXT, "Digest of the artifact that holds the row."),
)
"""Columns put before those of a table's own."""


@dataclass(frozen=True)
class View:
    """One SQL view.

    Attributes:
        name: Its name.
        doc: What one row is.
        schema: Its columns.
    """

    name: str
    doc: str
    schema: pa.Schema


def _table_view(name: str) -> View:
    kind = TABLES[name]
    own = set(kind.schema.names)
    before = [field for field in PROVENANCE if field.name not in own]
    return View(name, kind.doc, pa.schema([*before, *kind.schema]))


def _turns_view() -> View:
    turns = TABLES["trajectories"].schema.field("turns").type.value_type
    of = [TABLES["trajectories"].schema.field(n) for n in ("trajectory_id", "question_id")]
    return View("turns", "One turn of one trajectory.", pa.schema([*PROVENANCE, *of, *turns]))


_STAGE_COLUMNS = (
    column("run", _TEXT, "Name of the run."),
    column("iteration", _INT, "Iteration, 0 before the first."),
    column("stage", _TEXT, "Name of the stage."),
    column("subject", _TEXT, "What it worked on, where an iteration has the stage twice."),
)

RECORD_VIEWS: tuple[View, ...] = (
    View(
        "policies",
        "One policy in the store.",
        pa.schema(
            [
                column("policy", _TEXT, "Digest of its weights, tokenizer and configs."),
                column("name", _TEXT, "Its name among its stage's artifacts."),
                column("run", _TEXT, "The run that made it first."),
                column("iteration", _INT, "The iteration that made it first."),
                column("stage_key", _TEXT, "Key of the stage that made it."),
                column("num_bytes", _LONG, "Bytes of its files."),
                column("created_at", _TEXT, "When, ISO 8601 in UTC."),
                column("metadata", _TEXT, "What its stage says about it, as JSON."),
            ]
        ),
    ),
    View(
        "stages",
        "One stage of one run.",
        pa.schema(
            [
                *_STAGE_COLUMNS,
                column("status", _TEXT, "`running`, `done`, `failed` or `stopped`."),
                column("reused", _FLAG, "Whether everything was there already."),
                column("wall_s", _REAL, "Seconds it took."),
                column("started_at", _TEXT, "When it started, ISO 8601 in UTC."),
                column("key", _TEXT, "Its key: config, inputs, code and seed."),
                column("error", _TEXT, "Why it failed, empty where it did not."),
            ]
        ),
    ),
    View(
        "stage_artifacts",
        "One artifact that a stage of a run made or reused.",
        pa.schema(
            [
                *_STAGE_COLUMNS,
                column("kind", _TEXT, "Kind of the artifact."),
                column("name", _TEXT, "Its name among the stage's artifacts."),
                column("artifact", _TEXT, "Its digest."),
                column("reused", _FLAG, "Whether it was there already."),
            ]
        ),
    ),
    View(
        "runs",
        "One run.",
        pa.schema(
            [
                column("run", _TEXT, "Its name."),
                column("profile", _TEXT, "The profile it was started with."),
                column("seed", _LONG, "Its seed."),
                column("status", _TEXT, "`running`, `done`, `failed` or `stopped`."),
                column("started_at", _TEXT, "When it was first started, ISO 8601 in UTC."),
                column("wall_s", _REAL, "Seconds it has taken, over all its starts."),
                column("error", _TEXT, "Why it failed, empty where it did not."),
            ]
        ),
    ),
    View(
        "run_policies",
        "One policy that a run measured.",
        pa.schema(
            [
                column("run", _TEXT, "Name of the run."),
                column("iteration", _INT, "The iteration that produced it; 0 before the first."),
                column("name", _TEXT, "`base`, `cold start`, `iteration 1`, …."),
                column("policy", _TEXT, "Its digest."),
                column("promoted", _FLAG, "Whether the run went on from it."),
            ]
        ),
    ),
    View(
        "artifacts",
        "One artifact of the store.",
        pa.schema(
            [
                column("kind", _TEXT, "`questions`, `trajectories`, …, `policies`."),
                column("artifact", _TEXT, "Digest of its content."),
                column("name", _TEXT, "Its name among its stage's artifacts."),
                column("stage_key", _TEXT, "Key of the stage that made it."),
                column("run", _TEXT, "The run that made it first."),
                column("iteration", _INT, "The iteration that made it first."),
                column("num_rows", _LONG, "Rows of a table; null: a policy.", null=True),
                column("num_bytes", _LONG, "Bytes of its files."),
                column("created_at", _TEXT, "When, ISO 8601 in UTC."),
                column("code_version", _TEXT, "Digest of the code that made it."),
            ]
        ),
    ),
    View(
        "lineage",
        "One step from an artifact to one that it was made from.",
        pa.schema(
            [
                column("child", _TEXT, "Digest of the artifact."),
                column("parent", _TEXT, "Digest of what it was made from."),
                column("child_kind", _TEXT, "Kind of the artifact."),
                column("parent_kind", _TEXT, "Kind of what it was made from."),
            ]
        ),
    ),
)
"""Views made from manifests and records."""

TABLE_VIEWS: tuple[View, ...] = tuple(_table_view(name) for name in TABLES)
"""Views of the tables that stages write."""

TURNS_VIEW = _turns_view()

VIEWS: tuple[View, ...] = (*TABLE_VIEWS, TURNS_VIEW, *RECORD_VIEWS)
"""All views."""


def record_rows(
    manifests: Sequence[Manifest], runs: Sequence[RunRecord], stages: Sequence[StageRecord]
) -> Mapping[str, list[dict[str, Any]]]:
    """The rows of the views made from manifests and records, by view."""
    edges = {
        (m.ref.digest, parent.digest, m.ref.kind, parent.kind)
        for m in manifests
        for parent in m.parents
    }
    return {
        "policies": [_policy(m) for m in manifests if m.ref.kind == POLICIES],
        "stages": [
            _stage(s)
            | {
                name: getattr(s, name)
                for name in ("status", "reused", "wall_s", "started_at", "key", "error")
            }
            for s in stages
        ],
        "stage_artifacts": [
            _stage(s) | {"kind": r.kind, "name": r.name, "artifact": r.digest, "reused": s.reused}
            for s in stages
            for r in s.artifacts
        ],
        "runs": [
            {
                name: getattr(r, name)
                for name in ("run", "profile", "seed", "status", "started_at", "wall_s", "error")
            }
            for r in runs
        ],
        "run_policies": [
            {
                "run": r.run,
                "iteration": entry.iteration,
                "name": entry.name,
                "policy": entry.digest,
                "promoted": entry.promoted,
            }
            for r in runs
            for entry in r.policies
        ],
        "artifacts": [_artifact(m) for m in manifests],
        "lineage": [
            {"child": c, "parent": p, "child_kind": ck, "parent_kind": pk}
            for c, p, ck, pk in sorted(edges)
        ],
    }


def _stage(record: StageRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in ("run", "iteration", "stage", "subject")}


def _policy(manifest: Manifest) -> dict[str, Any]:
    return {
        "policy": manifest.ref.digest,
        "name": manifest.ref.name,
        "run": manifest.run,
        "iteration": manifest.iteration,
        "stage_key": manifest.ref.key,
        "num_bytes": manifest.num_bytes,
        "created_at": manifest.created_at,
        "metadata": json.dumps(dict(manifest.metadata), sort_keys=True),
    }


def _artifact(manifest: Manifest) -> dict[str, Any]:
    return {
        "kind": manifest.ref.kind,
        "artifact": manifest.ref.digest,
        "name": manifest.ref.name,
        "stage_key": manifest.ref.key,
        "run": manifest.run,
        "iteration": manifest.iteration,
        "num_rows": manifest.num_rows,
        "num_bytes": manifest.num_bytes,
        "created_at": manifest.created_at,
        "code_version": manifest.code_version,
    }
