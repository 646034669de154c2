"""The rollout stage: several trajectories of each question of an iteration's part."""

from __future__ import annotations

from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.references import resolve
from tasks.sampled import run_sampling
from tasks.schemas import POLICIES
from tasks.selection import part_of
from tasks.stage import StageOutcome
from tasks.stage_task import stage_task


@stage_task("sample trajectories")
def roll_out(
    config: StageConfig,
    context: StageContext,
    questions: str,
    policy: str,
    cold_start: str | None = None,
) -> StageOutcome:
    """Samples the trajectories that the iteration's filter reads.

    Args:
        config: The configuration.
        context: Which stage of which run it is.
        questions: Reference of the questions.
        policy: Reference of the policy that samples.
        cold_start: Reference of the cold start's trajectories, None where there are none.

    Returns:
        The artifacts `trajectories` and `pages`.

    Raises:
        UsageError: A reference names nothing, or no training question is left.
    """
    store = ArtifactStore.open(config.store)
    ref = resolve(store, "questions", questions)
    part = part_of(
        store.read_questions(ref), config, context.iteration, question_ids(store, cold_start)
    )
    rollout = config.rollout
    return run_sampling(
        store,
        config,
        context,
        "rollout",
        "tasks.jobs.rollout:run",
        sections={
            "rollout": {
                "num_rollouts": rollout.num_rollouts,
                "temperature": rollout.temperature,
                "top_p": rollout.top_p,
            }
        },
        inputs={"questions": ref, "policy": resolve(store, POLICIES, policy)},
        outputs=("trajectories", "pages"),
        question_ids=[question.question_id for question in part[: rollout.num_questions]],
        key_iteration=context.iteration,
    )


def question_ids(store: ArtifactStore, trajectories: str | None) -> set[str]:
    """Ids of the questions of a `trajectories` artifact, none where there is none."""
    if trajectories is None:
        return set()
    table = store.read_table(resolve(store, "trajectories", trajectories))
    return set(table.column("question_id").to_pylist())
