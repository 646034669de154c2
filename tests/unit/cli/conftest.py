"""A small store with one finished run, written through the store itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.config import EvolutionConfig
from tasks.artifacts import ArtifactStore
from tasks.manifest import ArtifactRef
from tasks.runs import PolicyEntry, RunLog, RunRecord, StageRecord

BENCHMARKS = ("more_hops", "unseen_kind")


def score_row(policy: str, benchmark: str, accuracy: float) -> dict[str, object]:
    scores = {"em": accuracy, "f1": accuracy, "accuracy": accuracy}
    bounds = {"ci_low": 0.0, "ci_high": 1.0}
    return {"policy": policy, "benchmark": benchmark, "num_questions": 4, **scores, **bounds}


def write_policy(store: ArtifactStore, folder: Path, name: str) -> ArtifactRef:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"name": name}))
    (folder / "model.safetensors").write_bytes(name.encode())
    return store.write_policy(folder, stage_key=f"key-{name}", run="first")


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def finished_run(store_path: Path, tmp_path: Path) -> RunRecord:
    """A run `first`: base at 25%, cold start at 75%, and an iteration that was not promoted."""
    store = ArtifactStore.open(store_path)
    log = RunLog(store.objects)
    names = ("base", "cold start", "iteration 1")
    policies = [write_policy(store, tmp_path / name.replace(" ", "_"), name) for name in names]
    record = RunRecord(
        run="first",
        profile="smoke",
        seed=0,
        status="done",
        started_at="2026-01-02T03:04:05.000+00:00",
        config=EvolutionConfig(profile="smoke", seed=7).model_dump(mode="json"),
        wall_s=75.0,
        policies=tuple(
            PolicyEntry(name, iteration, policy.digest, promoted)
            for name, iteration, policy, promoted in zip(
                names, (0, 0, 1), policies, (True, True, False), strict=True
            )
        ),
    )
    log.save_run(record)
    questions = store.write_table("questions", [], stage_key="key-questions", name="questions")
    verdicts = [
        {"trajectory_id": str(n), "question_id": "q", "kept": n < 2, "reason": reason, "rank": None}
        for n, reason in enumerate(["kept", "kept", "wrong answer", "wrong answer", "malformed"])
    ]
    judged = store.write_table("verdicts", verdicts, stage_key="key-filter", name="verdicts")
    stages = [
        ("construct", "", "key-base", (questions, policies[0])),
        ("filter", "", "key-filter", (judged,)),
        ("sft", "", "key-cold", (policies[1],)),
    ]
    for name, policy, accuracy in zip(names, policies, (0.25, 0.75, 0.5), strict=True):
        rows = [score_row(policy.digest, benchmark, accuracy) for benchmark in BENCHMARKS]
        rows.append(score_row(policy.digest, "gate", 1.0))
        scores = store.write_table("benchmarks", rows, stage_key=f"score-{name}", name="benchmarks")
        stages.append(("benchmark", name, f"score-{name}", (scores,)))
    for second, (stage, subject, key, artifacts) in enumerate(stages):
        log.save_stage(
            StageRecord(
                run="first",
                iteration=1 if subject == "iteration 1" else 0,
                stage=stage,
                key=key,
                status="done",
                subject=subject,
                artifacts=artifacts,
                reused=stage == "construct",
                wall_s=1.5,
                started_at=f"2026-01-02T03:04:{second:02d}.000+00:00",
            )
        )
    return record
