"""The SQL views of the store: what each is, its columns, and how it is made.

Three groups: views of the tables that stages write (one per kind in `tasks.schemas`), the `turns`,
`page_views` and `readings` inside the trajectories, and views of what manifests and records say,
which the catalog holds in the schema `internal` (`tasks.catalog_documents`).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from tasks.schemas import TABLES, column

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
        sql: How it is made; empty for the tables that stages write.
    """

    name: str
    doc: str
    schema: pa.Schema
    sql: str = ""


def _table_view(name: str) -> View:
    kind = TABLES[name]
    own = set(kind.schema.names)
    before = [field for field in PROVENANCE if field.name not in own]
    return View(name, kind.doc, pa.schema([*before, *kind.schema]))


def _inside_trajectories(name: str, doc: str, nested: str) -> View:
    """One row for each element of a list that every trajectory has."""
    schema = TABLES["trajectories"].schema
    before = [*PROVENANCE, *(schema.field(n) for n in ("trajectory_id", "question_id"))]
    names = ", ".join(field.name for field in before)
    sql = (
        f"SELECT {names}, inner_row.* FROM "  # noqa: S608 (names of this module)
        f"(SELECT {names}, unnest({nested}) AS inner_row FROM trajectories)"
    )
    return View(name, doc, pa.schema([*before, *schema.field(nested).type.value_type]), sql)


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
        "SELECT digest AS policy, name, run, iteration, key AS stage_key, num_bytes, created_at, "
        "metadata FROM internal.manifests WHERE kind = 'policies'",
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
        "SELECT run, iteration, stage, subject, status, reused, wall_s, started_at, key, error "
        "FROM internal.stages",
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
        "SELECT run, iteration, stage, subject, made.kind, made.name, made.digest AS artifact, "
        "reused FROM (SELECT *, unnest(artifacts) AS made FROM internal.stages)",
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
        "SELECT run, profile, seed, status, started_at, wall_s, error FROM internal.runs",
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
                column("forced", _FLAG, "Whether that was against the gate."),
                column("compared_with", _TEXT, "Digest of the best policy before; empty: none."),
                column("reason", _TEXT, "Why the gate decided so.", null=True),
                column("rule", _TEXT, "The gate's rule; null: no gate.", null=True),
                column("gate_questions", _INT, "Questions of the gate for both.", null=True),
                column("best_accuracy", _REAL, "The best policy's accuracy on them.", null=True),
                column("candidate_accuracy", _REAL, "This policy's accuracy on them.", null=True),
                column("gain", _REAL, "This policy's accuracy minus the best one's.", null=True),
                column("gain_low", _REAL, "Lower bound of the gain's interval.", null=True),
                column("gain_high", _REAL, "Upper bound of the gain's interval.", null=True),
            ]
        ),
        "SELECT run, measured.iteration, measured.name, measured.digest AS policy, "
        "measured.promoted, measured.forced, measured.compared_with, measured.gate.reason, "
        "measured.gate.rule, measured.gate.num_questions AS gate_questions, "
        "measured.gate.best_accuracy, measured.gate.candidate_accuracy, measured.gate.gain, "
        "measured.gate.ci_low AS gain_low, measured.gate.ci_high AS gain_high "
        "FROM (SELECT run, unnest(policies) AS measured FROM internal.runs)",
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
        "SELECT kind, digest AS artifact, name, key AS stage_key, run, iteration, num_rows, "
        "num_bytes, created_at, code_version FROM internal.manifests",
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
        "SELECT DISTINCT digest AS child, origin.digest AS parent, kind AS child_kind, "
        "origin.kind AS parent_kind "
        "FROM (SELECT digest, kind, unnest(parents) AS origin FROM internal.manifests)",
    ),
)
"""Views made from manifests and records."""

TABLE_VIEWS: tuple[View, ...] = tuple(_table_view(name) for name in TABLES)
"""Views of the tables that stages write."""

NESTED_VIEWS: tuple[View, ...] = (
    _inside_trajectories("turns", "One turn of one trajectory.", "turns"),
    _inside_trajectories(
        "page_views", "One page behind one observation of one trajectory.", "page_views"
    ),
    _inside_trajectories("readings", "One page that a model read for one trajectory.", "readings"),
)
"""Views of what lies inside the trajectories."""

TRIPS_VIEW = View(
    "sentinel_trips",
    "One sentinel that stopped a training.",
    pa.schema(
        [
            *_STAGE_COLUMNS,
            column("key", _TEXT, "Key of the stage."),
            column("tripped_at", _TEXT, "When, ISO 8601 in UTC."),
            column("sentinel", _TEXT, "Its setting in `sentinels`."),
            column("figure", _TEXT, "The figure that it watches."),
            column("value", _REAL, "The figure's mean over the window."),
            column("bound", _REAL, "What the mean was compared with."),
            column("threshold", _REAL, "The setting; null: it is a switch.", null=True),
            column("first_step", _INT, "First step of the window."),
            column("step", _INT, "Last step of the window."),
            column("back_to_step", _INT, "Step of the checkpoint gone back to; 0: the beginning."),
            column("message", _TEXT, "All of it in one line, with what to do."),
        ]
    ),
)
"""A view of records that are read only where they are asked for."""

VIEWS: tuple[View, ...] = (*TABLE_VIEWS, *NESTED_VIEWS, *RECORD_VIEWS, TRIPS_VIEW)
"""All views."""
