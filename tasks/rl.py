"""The RL stage: GRPO on an iteration's questions, its rollouts recorded."""

from __future__ import annotations

from collections import defaultdict

from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.references import resolve
from tasks.rollout import question_ids
from tasks.sampled import sampling_work
from tasks.schemas import POLICIES
from tasks.selection import part_of, rl_questions
from tasks.stage import StageOutcome, run_stage
from tasks.stage_task import stage_task
from tasks.training_steps import TRAINING_STEPS


@stage_task("train by reinforcement learning")
def reinforce(
    config: StageConfig,
    context: StageContext,
    questions: str,
    policy: str,
    rewards: str | None = None,
    cold_start: str | None = None,
) -> StageOutcome:
    """Trains a policy by reinforcement learning.

    Args:
        config: The configuration.
        context: Which stage of which run it is.
        questions: Reference of the questions.
        policy: Reference of the policy to start from.
        rewards: Reference of the rewards of this iteration's rollouts, None where there are none.
        cold_start: Reference of the cold start's trajectories, None where there are none.

    Returns:
        The artifacts `policy`, `trajectories`, `pages` and `training_steps`.
    """
    store = ArtifactStore.open(config.store)
    ref = resolve(store, "questions", questions)
    part = part_of(
        store.read_questions(ref), config, context.iteration, question_ids(store, cold_start)
    )
    chosen = rl_questions(part, _rewards(store, rewards), config.rl)
    work = sampling_work(
        store,
        config,
        context,
        "rl",
        "tasks.jobs.rl:run",
        sections={
            "rl": config.rl.that_matters,
            "training": config.training.that_matters,
            "reward": config.reward.that_matters,
        },
        inputs={"questions": ref, "policy": resolve(store, POLICIES, policy)},
        outputs=("policy", "trajectories", "pages", TRAINING_STEPS),
        question_ids=[question.question_id for question in chosen],
        key_iteration=context.iteration,
    )
    return run_stage(store, context, work)


def _rewards(store: ArtifactStore, reference: str | None) -> dict[str, list[float]]:
    """Total rewards by question; rollouts without one are left out."""
    if reference is None:
        return {}
    groups: dict[str, list[float]] = defaultdict(list)
    for row in store.read_table(resolve(store, "rewards", reference)).to_pylist():
        if row["total"] is not None:
            groups[row["question_id"]].append(row["total"])
    return dict(groups)
