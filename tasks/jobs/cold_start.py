"""Child of the cold-start stage: builds trajectories from known chains."""

from __future__ import annotations

from typing import Any

from agents.snapshots import PageRecorder
from tasks.heavy.child import Emit
from tasks.jobs.cache_log import CacheLog
from tasks.jobs.page_log import PageLog, write_rollouts
from tasks.jobs.payload import Job
from tasks.jobs.sampling import load_tokenizer, open_tools, sampling_metrics
from tasks.selection import TRAIN_SPLIT
from tasks.shards import ShardLog, clear_partial
from training.construction.chains import build_cold_start


def run(payload: dict[str, Any], _emit: Emit) -> dict[str, Any]:
    """Builds trajectories with the base policy's tokenizer and writes them with their `pages`."""
    job = Job(payload)
    config = job.config
    # Its turns are scripted: there is no policy that could read a page.
    visit = config.agents.visit.without_policy
    config = config.model_copy(update={"agents": config.agents.model_copy(update={"visit": visit})})
    questions = job.store.read_questions(job.inputs["questions"])
    tokenizer = load_tokenizer(job.store.policy_folder(job.inputs["policy"]))
    recorder, web = PageRecorder(), CacheLog(job)
    pages, log = PageLog(job.store, job.key, recorder, web), ShardLog(job.store, job.key)
    with open_tools(config, recorder, web.cache) as tools, log.open(pages.flush) as keep:
        trajectories = build_cold_start(
            [question for question in questions if question.split == TRAIN_SPLIT],
            tools,
            tokenizer,
            config.agents,
            config.cold_start,
            config.seed,
            iteration=job.context.iteration,
            on_finished=keep,
            finished={trajectory.trajectory_id: trajectory for trajectory in log.trajectories()},
        )
    write_rollouts(job, trajectories, pages, {"metrics": sampling_metrics(trajectories)})
    clear_partial(job.store, job.key)
    return {}
