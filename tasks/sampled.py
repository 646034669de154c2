"""The stages whose child only samples: cold start, rollout, benchmark and gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.construct import web_digest
from tasks.heavy.run import run_heavy
from tasks.jobs.payload import payload_of
from tasks.leases import Lease
from tasks.manifest import ArtifactRef
from tasks.sampling_inputs import ids_digest, sampling_sections
from tasks.stage import StageOutcome, StageWork, run_stage


def run_sampling(
    store: ArtifactStore,
    config: StageConfig,
    context: StageContext,
    stage: str,
    entry: str,
    *,
    sections: Mapping[str, Any],
    inputs: Mapping[str, ArtifactRef],
    outputs: Sequence[str],
    question_ids: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    key_iteration: int = 0,
) -> StageOutcome:
    """Runs a stage whose child plays the agent.

    Args:
        store: The store.
        config: The whole configuration, for the child.
        context: Which stage of which run it is.
        stage: Its name.
        entry: `module:function` of the child.
        sections: Sections that the stage reads beside those of the agent.
        inputs: Artifacts to read, `questions` among them.
        outputs: Names of the artifacts it makes.
        question_ids: The questions chosen, where the parent chooses.
        options: What else the child is told.
        key_iteration: Iteration in the key, 0 where the result does not depend on it.
    """

    def compute(lease: Lease) -> None:
        told = {**(options or {}), "question_ids": list(question_ids)}
        payload = payload_of(config, context, lease.key, inputs, told)
        run_heavy(entry, payload, description=stage, lease=lease)

    work = StageWork(
        stage=stage,
        config={**sampling_sections(config), **sections},
        inputs=[
            *inputs.values(),
            web_digest(store, inputs["questions"]),
            ids_digest(list(question_ids)),
        ],
        outputs=outputs,
        seed=config.seed,
        compute=compute,
        key_iteration=key_iteration,
    )
    return run_stage(store, context, work)
