"""The SFT stage: fine-tunes a policy on what the filter kept."""

from __future__ import annotations

from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.heavy.run import run_heavy
from tasks.jobs.payload import payload_of
from tasks.leases import Lease
from tasks.memory_advice import memory_advice
from tasks.prefect_events import publish_child_event
from tasks.references import resolve
from tasks.schemas import POLICIES
from tasks.stage import StageOutcome, StageWork, run_stage, skip_stage
from tasks.stage_task import stage_task
from tasks.training_steps import TRAINING_STEPS


@stage_task("fine-tune on kept trajectories")
def fine_tune(
    config: StageConfig, context: StageContext, policy: str, examples: str
) -> StageOutcome:
    """Fine-tunes a policy; without any example it is skipped, and the record says so.

    Args:
        config: The configuration.
        context: Which stage of which run it is.
        policy: Reference of the policy to start from.
        examples: Reference of the examples.

    Returns:
        The artifacts `policy` and `training_steps`, nothing where it was skipped.
    """
    store = ArtifactStore.open(config.store)
    inputs = {
        "policy": resolve(store, POLICIES, policy),
        "sft_examples": resolve(store, "sft_examples", examples),
    }
    if not store.manifest(inputs["sft_examples"]).num_rows:
        return skip_stage(store, context, "sft", "the filter kept no trajectory to learn from")

    def compute(lease: Lease) -> None:
        payload = payload_of(config, context, lease.key, inputs)
        run_heavy(
            "tasks.jobs.sft:run",
            payload,
            description="sft",
            on_event=publish_child_event,
            lease=lease,
            memory_advice=memory_advice("sft", config),
        )

    work = StageWork(
        stage="sft",
        config={
            "sft": config.sft.model_dump(exclude={"start_from"}),
            "training": config.training.that_matters,
        },
        inputs=list(inputs.values()),
        outputs=("policy", TRAINING_STEPS),
        seed=config.seed,
        compute=compute,
        key_iteration=context.iteration,
    )
    return run_stage(store, context, work)
