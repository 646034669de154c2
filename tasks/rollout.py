"""The rollout stage: several trajectories of each question of an iteration's part."""

from __future__ import annotations

from typing import Any

from agents.errors import UsageError
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.parts import PART, PARTS
from tasks.references import resolve
from tasks.sampled import sampling_work
from tasks.schemas import POLICIES
from tasks.selection import part_of
from tasks.stage import StageOutcome, StageWork, run_part, run_stage
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
    return run_stage(store, context, _work(store, config, context, questions, policy, cold_start))


@stage_task("sample a part of the trajectories")
def roll_out_part(
    config: StageConfig,
    context: StageContext,
    questions: str,
    policy: str,
    cold_start: str | None = None,
    part: int = 1,
    parts: int = 1,
) -> None:
    """Samples the trajectories of some of the questions, and leaves them to the stage itself.

    Args:
        config: The configuration.
        context: Which stage of which run it is.
        questions: Reference of the questions.
        policy: Reference of the policy that samples.
        cold_start: Reference of the cold start's trajectories, None where there are none.
        part: Which part, from 1.
        parts: How many there are.

    Raises:
        UsageError: A reference names nothing, or there is no such part.
    """
    if not 1 <= part <= parts:
        raise UsageError(f"part {part} of {parts}: expected a part from 1 to {parts}")
    store = ArtifactStore.open(config.store)
    work = _work(
        store,
        config,
        context,
        questions,
        policy,
        cold_start,
        entry="tasks.jobs.rollout:run_part",
        options={PART: part, PARTS: parts},
    )
    run_part(store, context, work, part, parts)


def _work(
    store: ArtifactStore,
    config: StageConfig,
    context: StageContext,
    questions: str,
    policy: str,
    cold_start: str | None,
    *,
    entry: str = "tasks.jobs.rollout:run",
    options: dict[str, Any] | None = None,
) -> StageWork:
    """The stage; its key is the same whoever does which part of it."""
    ref = resolve(store, "questions", questions)
    part = part_of(
        store.read_questions(ref), config, context.iteration, question_ids(store, cold_start)
    )
    rollout = config.rollout
    return sampling_work(
        store,
        config,
        context,
        "rollout",
        entry,
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
        options=options,
        key_iteration=context.iteration,
    )


def question_ids(store: ArtifactStore, trajectories: str | None) -> set[str]:
    """Ids of the questions of a `trajectories` artifact, none where there is none."""
    if trajectories is None:
        return set()
    table = store.read_table(resolve(store, "trajectories", trajectories))
    return set(table.column("question_id").to_pylist())
