"""The filter stage: rewards, verdicts and the SFT examples that are kept."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from agents.trajectory import Trajectory
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.manifest import ArtifactRef
from tasks.references import resolve
from tasks.stage import StageOutcome, StageWork, run_stage
from tasks.stage_task import stage_task
from training.filters import filter_input, filter_trajectories
from training.rewards import reward_of

_REWARDS_SCHEMA = pa.schema(
    [
        ("trajectory_id", pa.string()),
        ("question_id", pa.string()),
        ("format", pa.float64()),
        ("answer", pa.float64()),
        ("total", pa.float64()),
    ]
)


@stage_task("reward and judge trajectories")
def filter_stage(
    config: StageConfig, context: StageContext, questions: str, trajectories: str
) -> StageOutcome:
    """Rewards trajectories and keeps the best as training examples.

    Args:
        config: The configuration.
        context: Which stage of which run it is.
        questions: Reference of the questions, for the right answers.
        trajectories: Reference of the trajectories.

    Returns:
        The artifacts `sft_examples`, `verdicts` and `rewards`.
    """
    store = ArtifactStore.open(config.store.uri)
    inputs = {
        "questions": resolve(store, "questions", questions),
        "trajectories": resolve(store, "trajectories", trajectories),
    }
    work = StageWork(
        stage="filter",
        config={"reward": config.reward, "filter": config.filter},
        inputs=list(inputs.values()),
        outputs=("sft_examples", "verdicts", "rewards"),
        seed=config.seed,
        compute=lambda lease: _filter(store, config, context, lease.key, inputs),
        key_iteration=context.iteration,
    )
    return run_stage(store, context, work)


def _filter(
    store: ArtifactStore,
    config: StageConfig,
    context: StageContext,
    key: str,
    inputs: dict[str, ArtifactRef],
) -> None:
    known = {q.question_id: q for q in store.read_questions(inputs["questions"])}
    trajectories = store.read_trajectories(inputs["trajectories"])
    rewards: list[dict[str, Any]] = []
    for trajectory in trajectories:
        reward = reward_of(trajectory, known[trajectory.question_id], config.reward)
        rewards.append(
            {
                "trajectory_id": trajectory.trajectory_id,
                "question_id": trajectory.question_id,
                "format": reward.format,
                "answer": reward.answer,
                "total": reward.total,
            }
        )
    table = pa.Table.from_pylist(rewards, schema=_REWARDS_SCHEMA)
    verdicts = filter_trajectories(filter_input(trajectories), table, config.filter)
    kept = {row["trajectory_id"] for row in verdicts.to_pylist() if row["kept"]}
    tables = {
        "rewards": rewards,
        "verdicts": verdicts,
        "sft_examples": [_example(t) for t in trajectories if t.trajectory_id in kept],
    }
    totals = [row["total"] for row in rewards if row["total"] is not None]
    metrics = {
        "num_trajectories": len(trajectories),
        "num_kept": len(kept),
        "correct": sum(row["answer"] >= 1.0 for row in rewards) / max(1, len(rewards)),
        "reward_mean": sum(totals) / max(1, len(totals)),
        "num_mixed_groups": _num_mixed_groups(rewards),
    }
    for kind, rows in tables.items():
        store.write_table(
            kind,
            rows,
            stage_key=key,
            name=kind,
            parents=tuple(inputs.values()),
            run=context.run,
            iteration=context.iteration,
            metadata={"metrics": metrics} if kind == "verdicts" else None,
        )


def _example(trajectory: Trajectory) -> dict[str, object]:
    return {
        "trajectory_id": trajectory.trajectory_id,
        "question_id": trajectory.question_id,
        "token_ids": list(trajectory.token_ids),
        "loss_mask": list(trajectory.loss_mask),
    }


def _num_mixed_groups(rewards: list[dict[str, Any]]) -> int:
    """Questions whose rollouts were neither all equally good nor all equally bad."""
    groups: dict[str, set[float]] = {}
    for row in rewards:
        if row["total"] is not None:
            groups.setdefault(row["question_id"], set()).add(row["total"])
    return sum(len(totals) > 1 for totals in groups.values())
