"""What `runs` and `show` say of a run, as JSON documents made from its records and artifacts."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from agents.errors import UsageError
from deployments.cli.training_table import training_rows, trip_rows
from tasks.artifacts import ArtifactStore
from tasks.comparison import run_comparison
from tasks.policy_scores import policy_rows
from tasks.runs import RunLog, RunRecord, StageRecord


def find_run(records: Sequence[RunRecord], name: str) -> RunRecord:
    """Finds a run by name, or the newest as `last`.

    Raises:
        UsageError: There is no such run.
    """
    if name == "last" and records:
        return records[-1]
    for record in records:
        if record.run == name:
            return record
    names = [record.run for record in records]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    known = ", ".join(names[-5:]) or "none yet"
    raise UsageError(f"no run named {name!r} in this store{hint}; there are: {known}")


def summary_of(store: ArtifactStore, record: RunRecord) -> dict[str, Any]:
    """A run in one row: its state, and each policy with its average accuracy."""
    return {
        "run": record.run,
        "profile": record.profile,
        "status": record.status,
        "started_at": record.started_at,
        "wall_s": record.wall_s,
        "error": record.error,
        "policies": [
            {key: entry[key] for key in ("name", "policy", "promoted", "average")}
            for entry in policy_rows(
                store, record.policies, RunLog(store.objects).stages(record.run)
            )
        ],
    }


def document_of(store: ArtifactStore, record: RunRecord) -> dict[str, Any]:
    """A run in full: its stages, trainings, the filter's funnel, the scores of its policies.

    Raises:
        StoreError: An artifact of the run cannot be read.
    """
    stages = RunLog(store.objects).stages(record.run)
    return {
        "run": record.run,
        "profile": record.profile,
        "status": record.status,
        "error": record.error,
        "started_at": record.started_at,
        "wall_s": record.wall_s,
        "stages": [
            {
                "iteration": stage.iteration,
                "stage": stage.stage,
                "subject": stage.subject,
                "status": stage.status,
                "reused": stage.reused,
                "wall_s": stage.wall_s,
                "started_at": stage.started_at,
                "error": stage.error,
                "metrics": dict(stage.metrics),
            }
            for stage in stages
        ],
        "training": training_rows(store, stages),
        "sentinels": trip_rows(store, record.run),
        "funnel": _funnel(store, stages),
        "iterations": (iterations := policy_rows(store, record.policies, stages)),
        "comparison": run_comparison(store, record.run, iterations),
    }


def _funnel(store: ArtifactStore, stages: Sequence[StageRecord]) -> list[dict[str, Any]]:
    """How many trajectories of each filter met which verdict: the kept first, then the largest."""
    rows = []
    for stage in stages:
        for ref in stage.artifacts:
            # A filter's artifact is also an input of later stages, but made by one stage only.
            if ref.kind == "verdicts" and ref.key == stage.key:
                verdicts = store.read_table(ref).select(["kept", "reason"]).to_pylist()
                counts = Counter((row["kept"], row["reason"]) for row in verdicts)
                for (kept, reason), count in sorted(
                    counts.items(), key=lambda item: (not item[0][0], -item[1], item[0][1])
                ):
                    rows.append(
                        {
                            "iteration": stage.iteration,
                            "subject": stage.subject,
                            "kept": kept,
                            "reason": reason,
                            "num_trajectories": count,
                        }
                    )
    return rows
