"""The scores of a run's policies, found again through the records of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from evaluation.benchmarks import IN_DOMAIN, OUT_OF_DOMAIN
from evaluation.summaries import headline
from tasks.artifacts import ArtifactStore
from tasks.benchmark_rows import score_of
from tasks.manifest import ArtifactRef
from tasks.runs import PolicyEntry, StageRecord, decision_of
from tasks.selection import GATE_SPLIT


def policy_rows(
    store: ArtifactStore, policies: Sequence[PolicyEntry], stages: Sequence[StageRecord]
) -> list[dict[str, Any]]:
    """A run's policies as its document has them: what became of each, and its scores.

    Args:
        store: The store.
        policies: The policies, from base to last.
        stages: The run's stages; their `benchmarks` artifacts are read.

    Returns:
        Decisions with `benchmarks` (scores by benchmark) and `average`; None: none was found.

    Raises:
        StoreError: An artifact cannot be read.
    """
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
        for entry in policies
    ]


def scores_in(store: ArtifactStore, ref: ArtifactRef) -> dict[str, dict[str, dict[str, Any]]]:
    """Scores in a `benchmarks` artifact, by policy and benchmark; the gate's are left out."""
    scores: dict[str, dict[str, dict[str, Any]]] = {}
    for row in store.read_table(ref).to_pylist():
        if row["benchmark"] != GATE_SPLIT:
            of_policy = scores.setdefault(row["policy"], {})
            of_policy[row["benchmark"]] = asdict(score_of(row))
    return scores


def _in_order(scores: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Scores in the order of the run's own table: in-domain, out-of-domain, then one's own."""
    return {name: scores[name] for name in (*IN_DOMAIN, *OUT_OF_DOMAIN, *scores) if name in scores}
