"""The small JSON documents of a store as rows: what the catalog keeps of manifests and records."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from tasks.manifest import ROWS_ITERATION, ArtifactRef, Manifest, StoredFile
from tasks.runs import RunRecord, StageRecord, run_record_of, stage_record_of

_TEXT, _INT, _LONG, _REAL, _FLAG = (
    pa.string(),
    pa.int32(),
    pa.int64(),
    pa.float64(),
    pa.bool_(),
)
_REF = pa.struct([("kind", _TEXT), ("digest", _TEXT), ("key", _TEXT), ("name", _TEXT)])
_FILE = pa.struct([("path", _TEXT), ("num_bytes", _LONG), ("sha256", _TEXT)])
_GATE = pa.struct(
    [
        ("reason", _TEXT),
        ("rule", _TEXT),
        ("num_questions", _INT),
        ("best_accuracy", _REAL),
        ("candidate_accuracy", _REAL),
        ("gain", _REAL),
        ("ci_low", _REAL),
        ("ci_high", _REAL),
    ]
)
_POLICY = pa.struct(
    [
        ("name", _TEXT),
        ("iteration", _INT),
        ("digest", _TEXT),
        ("promoted", _FLAG),
        ("forced", _FLAG),
        ("compared_with", _TEXT),
        ("gate", _GATE),
    ]
)
_WHERE = [pa.field("path", _TEXT), pa.field("version", _TEXT)]


@dataclass(frozen=True)
class DocumentKind:
    """One kind of document.

    Attributes:
        name: Name of its table.
        matches: Whether an object's path is that of such a document.
        schema: Columns of its table: path and version of the object, then what it says.
        row: Reads a document, given its bytes and its path (for the error).
        order: Columns that its table is sorted by.
    """

    name: str
    matches: Callable[[str], bool]
    schema: pa.Schema
    row: Callable[[bytes, str], dict[str, Any]]
    order: tuple[str, ...]


def _manifest_row(data: bytes, path: str) -> dict[str, Any]:
    manifest = Manifest.from_bytes(data, path)
    return {
        **manifest.ref.to_json(),
        "num_rows": manifest.num_rows,
        "num_bytes": manifest.num_bytes,
        "run": manifest.run,
        "iteration": manifest.iteration,
        "created_at": manifest.created_at,
        "code_version": manifest.code_version,
        "metadata": json.dumps(dict(manifest.metadata), sort_keys=True),
        "rows_iteration": manifest.metadata.get(ROWS_ITERATION),
        "files": [
            {"path": f.path, "num_bytes": f.num_bytes, "sha256": f.sha256} for f in manifest.files
        ],
        "parents": [parent.to_json() for parent in manifest.parents],
    }


def manifest_of(row: Mapping[str, Any]) -> Manifest:
    """The manifest that a row of the table `manifests` holds."""
    return Manifest(
        ref=ArtifactRef.from_json(row),
        files=tuple(StoredFile(**file) for file in row["files"]),
        num_rows=row["num_rows"],
        parents=tuple(ArtifactRef.from_json(parent) for parent in row["parents"]),
        code_version=row["code_version"],
        run=row["run"],
        iteration=row["iteration"],
        created_at=row["created_at"],
        metadata=json.loads(row["metadata"]),
    )


def _run_row(data: bytes, path: str) -> dict[str, Any]:
    record: RunRecord = run_record_of(data, path)
    names = ("run", "profile", "seed", "status", "started_at", "wall_s", "error")
    policies = [asdict(entry) for entry in record.policies]
    return {name: getattr(record, name) for name in names} | {"policies": policies}


def _stage_row(data: bytes, path: str) -> dict[str, Any]:
    record: StageRecord = stage_record_of(data, path)
    names = ("run", "iteration", "stage", "subject", "status", "reused", "wall_s")
    more = ("started_at", "key", "error")
    artifacts = [ref.to_json() for ref in record.artifacts]
    return {name: getattr(record, name) for name in (*names, *more)} | {"artifacts": artifacts}


MANIFESTS = DocumentKind(
    "manifests",
    lambda path: path.startswith("manifests/") and path.endswith(".json"),
    pa.schema(
        [
            *_WHERE,
            *_REF,
            ("num_rows", _LONG),
            ("num_bytes", _LONG),
            ("run", _TEXT),
            ("iteration", _INT),
            ("created_at", _TEXT),
            ("code_version", _TEXT),
            ("metadata", _TEXT),
            ("rows_iteration", _INT),
            ("files", pa.list_(_FILE)),
            ("parents", pa.list_(_REF)),
        ]
    ),
    _manifest_row,
    ("created_at", "key", "name"),
)

RUNS = DocumentKind(
    "runs",
    lambda path: path.startswith("runs/") and path.endswith("/run.json"),
    pa.schema(
        [
            *_WHERE,
            ("run", _TEXT),
            ("profile", _TEXT),
            ("seed", _LONG),
            ("status", _TEXT),
            ("started_at", _TEXT),
            ("wall_s", _REAL),
            ("error", _TEXT),
            ("policies", pa.list_(_POLICY)),
        ]
    ),
    _run_row,
    ("started_at", "run"),
)

STAGES = DocumentKind(
    "stages",
    lambda path: path.startswith("runs/") and "/stages/" in path and path.endswith(".json"),
    pa.schema(
        [
            *_WHERE,
            ("run", _TEXT),
            ("iteration", _INT),
            ("stage", _TEXT),
            ("subject", _TEXT),
            ("status", _TEXT),
            ("reused", _FLAG),
            ("wall_s", _REAL),
            ("started_at", _TEXT),
            ("key", _TEXT),
            ("error", _TEXT),
            ("artifacts", pa.list_(_REF)),
        ]
    ),
    _stage_row,
    ("started_at", "path"),
)

DOCUMENTS = (MANIFESTS, RUNS, STAGES)
"""Every kind of document, in the order in which the index holds them."""
