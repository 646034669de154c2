"""What `runs` and `show` say of a run, as JSON documents made from its records and artifacts."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from agents.errors import UsageError
from deployments.cli.training_table import training_rows, trip_rows
from evaluation.benchmarks import IN_DOMAIN, OUT_OF_DOMAIN
from evaluation.summaries import headline
from tasks.artifacts import ArtifactStore
from tasks.benchmark_rows import score_of
from tasks.comparison import run_comparison
from tasks.manifest import ArtifactRef
from tasks.runs import RunLog, RunRecord, StageRecord, decision_of

GATE = "gate"
"""Name under which the gate's scores stand beside those of the benchmarks."""


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
            for entry in _iterations(store, record, RunLog(store.objects).stages(record.run))
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
        "iterations": (iterations := _iterations(store, record, stages)),
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


def _iterations(
    store: ArtifactStore, record: RunRecord, stages: Sequence[StageRecord]
) -> list[dict[str, Any]]:
    scores: dict[str, dict[str, dict[str, Any]]] = {}
    refs = {ref.digest: ref for stage in stages for ref in stage.artifacts}
    for ref in refs.values():
        if ref.kind == "benchmarks":
            for policy, rows in scores_in(store, ref).items():
                scores.setdefault(policy, {}).update(rows)
    return [
        {
            **decision_of(entry),
            "benchmarks": (found := _in_order(scores.get(entry.digest, {}))),
            "average": fmean(headline(s) or 0.0 for s in found.values()) if found else None,
        }
        for entry in record.policies
    ]


def _in_order(scores: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Scores in the order of the run's own table: in-domain, out-of-domain, then one's own."""
    return {name: scores[name] for name in (*IN_DOMAIN, *OUT_OF_DOMAIN, *scores) if name in scores}


def scores_in(store: ArtifactStore, ref: ArtifactRef) -> dict[str, dict[str, dict[str, Any]]]:
    """Scores in a `benchmarks` artifact, by policy and benchmark; the gate's are left out."""
    scores: dict[str, dict[str, dict[str, Any]]] = {}
    for row in store.read_table(ref).to_pylist():
        if row["benchmark"] != GATE:
            of_policy = scores.setdefault(row["policy"], {})
            of_policy[row["benchmark"]] = asdict(score_of(row))
    return scores
