"""The cold-start stage: trajectories built from known chains, without human reasoning."""

from __future__ import annotations

from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.references import resolve
from tasks.sampled import sampling_work
from tasks.schemas import POLICIES
from tasks.stage import StageOutcome, run_stage
from tasks.stage_task import stage_task


@stage_task("build trajectories from known chains")
def build_trajectories(
    config: StageConfig, context: StageContext, questions: str, policy: str
) -> StageOutcome:
    """Builds the trajectories that the base policy is first fine-tuned on.

    Args:
        config: The configuration.
        context: Which stage of which run it is.
        questions: Reference of the questions.
        policy: Reference of the base policy, for its tokenizer.

    Returns:
        The artifacts `trajectories` and `pages`.
    """
    store = ArtifactStore.open(config.store)
    work = sampling_work(
        store,
        config,
        context,
        "cold_start",
        "tasks.jobs.cold_start:run",
        sections={"cold_start": config.cold_start},
        inputs={
            "questions": resolve(store, "questions", questions),
            "policy": resolve(store, POLICIES, policy),
        },
        outputs=("trajectories", "pages"),
    )
    return run_stage(store, context, work)
