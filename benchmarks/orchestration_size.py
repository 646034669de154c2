"""What a rollout stage leaves in Prefect's database, over few questions and over many.

The stage is the real one, flow, task, lease, progress and records; only its child is replaced, by
one that writes made-up trajectories of a few tokens under the stage's key.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from agents.progress import progress
from agents.trajectory import Question, StopReason, Trajectory, trajectory_id_of
from benchmarks.orchestration_server import FLUSHED_S, Server
from tasks.artifacts import ArtifactStore
from tasks.manifest import ArtifactRef
from tasks.references import reference_of
from tasks.rows import question_row, trajectory_row

_KINDS = ("flow_runs", "task_runs", "artifacts")
_PROGRESS_S = 12.0
"""Seconds that each stage takes at least: progress artifacts come by time, not by trajectory."""


def measure_size(server: Server, folder: Path, counts: Sequence[int]) -> dict[str, Any]:
    """Runs the stage over each number of questions, after once over a single one.

    The first makes what every later one finds: the flow, the task's cache policy, indexes.
    """
    stages = [_measure_stage(server, folder / str(count), count) for count in (1, *counts)]
    return {"stages": stages[1:]}


def _measure_stage(server: Server, folder: Path, count: int) -> dict[str, Any]:
    from flows.evolve import run_context
    from flows.prefect_runtime import prefect_session
    from flows.profiles import load_profile
    from flows.stages import rollout

    store = ArtifactStore.open(folder)
    questions = [
        Question(f"q{index:06d}", f"Question {index}?", ("yes",), split="train")
        for index in range(count)
    ]
    asked = store.write_table(
        "questions",
        [question_row(each) for each in questions],
        stage_key="construct-made-up",
        name="questions",
        metadata={"web": "made up"},
    )
    policy = store.write_policy(_model(folder), stage_key="construct-made-up")
    config = load_profile(
        "smoke",
        {
            "store.uri": str(folder),
            "rollout.num_questions": count,
            "rollout.num_rollouts": 1,
            "rollout.reuse_cold_start_questions": False,
            "rl.enabled": False,
        },
    )

    def run_heavy(_entry: str, payload: Mapping[str, Any], **_others: Any) -> dict[str, Any]:
        _sample(store, payload, asked, policy)
        return {}

    before = {kind: server.count(kind) for kind in _KINDS}
    size = server.database()
    started = time.perf_counter()
    with patch("tasks.sampled.run_heavy", run_heavy), prefect_session():
        rollout(
            config,
            run_context(config, f"size-{count}", iteration=1),
            reference_of(asked),
            reference_of(policy),
        )
    wall_s = time.perf_counter() - started
    time.sleep(FLUSHED_S)
    return {
        "questions": count,
        "wall_s": wall_s,
        "database_bytes": server.database() - size,
        **{kind: server.count(kind) - before[kind] for kind in _KINDS},
    }


def _model(folder: Path) -> Path:
    made = folder / "model"
    made.mkdir(parents=True)
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"no weights")
    return made


def _sample(
    store: ArtifactStore, payload: Mapping[str, Any], asked: ArtifactRef, policy: ArtifactRef
) -> None:
    """Writes what the stage's child would: a trajectory a question, as they end one by one."""
    ids = payload["options"]["question_ids"]
    started = time.monotonic()
    rows = []
    with progress("Rollouts", len(ids), "trajectories") as bar:
        for number, question_id in enumerate(ids, 1):
            rows.append(trajectory_row(_trajectory(question_id, policy.digest)))
            bar.update(number)
        while time.monotonic() - started < _PROGRESS_S:
            time.sleep(0.25)
            bar.update(len(ids))
    parents = [asked, policy]
    made = {"stage_key": payload["key"], "run": "size", "iteration": 1}
    store.write_table("pages", [], name="pages", parents=parents, **made)
    store.write_table("trajectories", rows, name="trajectories", parents=parents, **made)


def _trajectory(question_id: str, policy: str) -> Trajectory:
    return Trajectory(
        trajectory_id=trajectory_id_of(policy, "rollout", 1, question_id, 0),
        question_id=question_id,
        rollout_index=0,
        policy=policy,
        iteration=1,
        source="rollout",
        temperature=0.7,
        token_ids=(1, 2, 3, 4),
        loss_mask=(0, 0, 1, 1),
        logprobs=(0.0, 0.0, -0.5, -0.25),
        num_prompt_tokens=2,
        turns=(),
        answer="yes",
        stop_reason=StopReason.ANSWER,
        format_ok=True,
        num_tool_calls=0,
    )
