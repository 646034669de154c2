"""Children of the rollout stage: one samples an iteration's trajectories, or a part of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.randomness import derive_seed
from agents.runner import RolloutJob
from tasks.heavy.child import Emit
from tasks.jobs.page_log import write_rollouts
from tasks.jobs.payload import Job
from tasks.jobs.sampling import sample, sampling_metrics
from tasks.parts import PART, PARTS
from tasks.shards import clear_partial


def run(payload: dict[str, Any], _emit: Emit) -> dict[str, Any]:
    """Rolls out `options.question_ids` and writes `pages` and `trajectories`."""
    job = Job(payload)
    trajectories, pages = sample(job, _rollouts(job, job.options["question_ids"]), "Rollouts")
    write_rollouts(job, trajectories, pages, {"metrics": sampling_metrics(trajectories)})
    clear_partial(job.store, job.key)
    return {}


def run_part(payload: dict[str, Any], _emit: Emit) -> dict[str, Any]:
    """Rolls out one part of `options.question_ids`, and leaves what is finished in shards."""
    job = Job(payload)
    part, parts = job.options[PART], job.options[PARTS]
    mine = job.options["question_ids"][part - 1 :: parts]
    sample(job, _rollouts(job, mine), f"Rollouts, part {part} of {parts}")
    return {}


def _rollouts(job: Job, question_ids: Sequence[str]) -> list[RolloutJob]:
    config, iteration = job.config, job.context.iteration
    known = {q.question_id: q for q in job.store.read_questions(job.inputs["questions"])}
    return [
        RolloutJob(
            question=known[question_id],
            rollout_index=index,
            seed=derive_seed(config.seed, iteration, question_id, index),
            temperature=config.rollout.temperature,
            top_p=config.rollout.top_p,
            iteration=iteration,
            policy=job.inputs["policy"].digest,
            source="rollout",
        )
        for question_id in question_ids
        for index in range(config.rollout.num_rollouts)
    ]
