"""Child of the rollout stage: samples an iteration's trajectories."""

from __future__ import annotations

from typing import Any

from agents.randomness import derive_seed
from agents.runner import RolloutJob
from tasks.heavy.child import Emit
from tasks.jobs.page_log import PageLog, write_rollouts
from tasks.jobs.payload import Job
from tasks.jobs.sampling import open_sampler, sampling_metrics
from tasks.shards import ShardLog, clear_partial


def run(payload: dict[str, Any], _emit: Emit) -> dict[str, Any]:
    """Rolls out `options.question_ids` and writes `pages` and `trajectories`."""
    job = Job(payload)
    config, iteration = job.config, job.context.iteration
    known = {q.question_id: q for q in job.store.read_questions(job.inputs["questions"])}
    policy = job.inputs["policy"]
    rollouts = [
        RolloutJob(
            question=known[question_id],
            rollout_index=index,
            seed=derive_seed(config.seed, iteration, question_id, index),
            temperature=config.rollout.temperature,
            top_p=config.rollout.top_p,
            iteration=iteration,
            policy=policy.digest,
            source="rollout",
        )
        for question_id in job.options["question_ids"]
        for index in range(config.rollout.num_rollouts)
    ]
    with open_sampler(job.store.policy_folder(policy), config) as sampler:
        pages, log = PageLog(job.store, job.key, sampler.recorder), ShardLog(job.store, job.key)
        trajectories = sampler.run_logged(rollouts, "Rollouts", log, pages)
    write_rollouts(job, trajectories, pages, {"metrics": sampling_metrics(trajectories)})
    clear_partial(job.store, job.key)
    return {}
