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
from tasks.memory_advice import memory_advice
from tasks.prefect_events import publish_child_event
from tasks.sampling_inputs import ids_digest, sampling_sections
from tasks.stage import StageWork
from tasks.web_caches import SOURCES, WEB_CACHE, replayed_caches


def sampling_work(
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
) -> StageWork:
    """What a stage computes whose child plays the agent.

    Args:
        store: The store.
        config: The whole configuration, for the child.
        context: Which stage of which run it is.
        stage: Its name.
        entry: `module:function` of the child.
        sections: Sections that the stage reads beside those of the agent.
        inputs: Artifacts to read, `questions` among them.
        outputs: Names of the artifacts it makes, beside its record of the web.
        question_ids: The questions chosen, where the parent chooses.
        options: What else the child is told.
        key_iteration: Iteration in the key, 0 where the result does not depend on it.
    """
    caches = replayed_caches(store, config, context, stage)
    recorded = () if config.web.cache == "off" else (WEB_CACHE,)

    def compute(lease: Lease) -> None:
        told = {
            **(options or {}),
            "question_ids": list(question_ids),
            SOURCES: [cache.to_json() for cache in caches],
        }
        payload = payload_of(config, context, lease.stage_key, inputs, told)
        run_heavy(
            entry,
            payload,
            description=stage,
            on_event=publish_child_event,
            lease=lease,
            memory_advice=memory_advice(stage, config),
        )

    return StageWork(
        stage=stage,
        config={**sampling_sections(config), **sections},
        inputs=[
            *inputs.values(),
            web_digest(store, inputs["questions"]),
            ids_digest(list(question_ids)),
            *caches,
        ],
        outputs=(*outputs, *recorded),
        seed=config.seed,
        compute=compute,
        key_iteration=key_iteration,
    )
