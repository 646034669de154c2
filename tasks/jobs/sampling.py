"""A policy at work in this process: engine, tokenizer, web and tools, opened and closed as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from agents.chat_format import Tokenizer
from agents.engines.base import PolicyEngine
from agents.engines.config import most_open
from agents.engines.factory import make_engine
from agents.failures import FailureBudget
from agents.runner import RolloutJob, run_rollouts
from agents.snapshots import PageRecorder
from agents.tools.base import Tool
from agents.toolset import open_tools as tools_of_web
from agents.trajectory import Trajectory
from agents.web.cache import WebCache
from agents.web.local import open_web
from agents.web.search.factory import make_search
from tasks.config import StageConfig
from tasks.jobs.cache_log import CacheLog
from tasks.jobs.page_log import PageLog
from tasks.jobs.payload import Job
from tasks.shards import ShardLog


class Sampler:
    """Rolls out questions with one policy.

    Attributes:
        engine: The engine that generates.
        tokenizer: The policy's tokenizer.
        tools: The agent's tools.
        recorder: Where the tools note the pages that they show.
    """

    def __init__(
        self,
        engine: PolicyEngine,
        tokenizer: Tokenizer,
        tools: dict[str, Tool],
        config: StageConfig,
        recorder: PageRecorder,
    ) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self.tools = tools
        self.recorder = recorder
        self._config = config
        self._budget = FailureBudget(config.agents)

    def run(
        self,
        jobs: Sequence[RolloutJob],
        description: str,
        on_finished: Callable[[Trajectory], None] | None = None,
    ) -> list[Trajectory]:
        """Makes one trajectory for each job, in the order of the jobs.

        Raises:
            StageError: More of the stage's rollouts failed than is borne.
        """
        self._budget.plan(len(jobs))

        def finish(trajectory: Trajectory) -> None:
            if on_finished is not None:
                on_finished(trajectory)
            self._budget.note(trajectory)

        return run_rollouts(
            jobs,
            self.engine,
            self.tokenizer,
            self.tools,
            self._config.agents,
            finish,
            max_concurrency=self._config.engine.batch_size,
            max_open=most_open(self._config.engine),
            description=description,
        )

    def run_logged(
        self, jobs: Sequence[RolloutJob], description: str, log: ShardLog, pages: PageLog
    ) -> list[Trajectory]:
        """Like `run`, but what is finished is logged, and what was logged is not done again.

        Rollouts that failed for reasons outside the policy are not logged: a later start makes
        them anew.

        Args:
            jobs: All jobs, including those that an earlier start finished.
            description: What the bar says.
            log: The log.
            pages: The log of the pages that they see.

        Returns:
            All trajectories in the order of the jobs.
        """
        finished = {trajectory.trajectory_id: trajectory for trajectory in log.trajectories()}
        left = [job for job in jobs if job.trajectory_id not in finished]
        with log.open(pages.flush) as keep:

            def keep_unless_failed(trajectory: Trajectory) -> None:
                if not trajectory.stop_reason.is_infrastructure:
                    keep(trajectory)

            made = self.run(left, description, keep_unless_failed)
        finished |= {trajectory.trajectory_id: trajectory for trajectory in made}
        return [finished[job.trajectory_id] for job in jobs]


def sample(
    job: Job, rollouts: Sequence[RolloutJob], description: str
) -> tuple[list[Trajectory], PageLog]:
    """Samples what a stage's policy has not finished yet; loads none where all is finished.

    Args:
        job: The stage.
        rollouts: All its rollouts.
        description: What the bar says.

    Returns:
        All trajectories in the order of the rollouts, and the log of the pages that they saw.
    """
    log, web = ShardLog(job.store, job.key), CacheLog(job)
    finished = {trajectory.trajectory_id: trajectory for trajectory in log.trajectories()}
    if all(rollout.trajectory_id in finished for rollout in rollouts):
        pages = PageLog(job.store, job.key, PageRecorder(), web)
        return [finished[rollout.trajectory_id] for rollout in rollouts], pages
    policy = job.store.policy_folder(job.inputs["policy"])
    with open_sampler(policy, job.config, web.cache) as sampler:
        pages = PageLog(job.store, job.key, sampler.recorder, web)
        return sampler.run_logged(rollouts, description, log, pages), pages


@contextmanager
def open_sampler(policy: Path, config: StageConfig, cache: WebCache) -> Iterator[Sampler]:
    """Loads a policy and opens the web, seen through a cache, for the duration of a block."""
    with ExitStack() as stack:
        recorder = PageRecorder()
        tools = stack.enter_context(open_tools(config, recorder, cache))
        engine = make_engine(policy, config.engine, config.agents.max_context_tokens)
        stack.callback(engine.close)
        yield Sampler(engine, load_tokenizer(policy), tools, config, recorder)


@contextmanager
def open_tools(
    config: StageConfig, recorder: PageRecorder | None = None, cache: WebCache | None = None
) -> Iterator[dict[str, Tool]]:
    """Opens the web and makes the agent's tools, with a site to visit where that is asked for.

    Args:
        config: The configuration.
        recorder: Where the tools note the pages that they show; None: nobody asks for them.
        cache: Where the web's answers are kept and found again; None: in this process.
    """
    web, cache = open_web(config.web), cache or WebCache()
    search = make_search(config.web, web, cache.budget)
    with tools_of_web(web, config.agents, recorder, search, cache) as tools:
        yield tools


def load_tokenizer(policy: Path) -> Tokenizer:
    """The tokenizer of a policy's folder; code that a folder brings along is never run."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(policy, trust_remote_code=False)
    return tokenizer  # type: ignore[no-any-return]


def sampling_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Numbers of a set of trajectories that are worth showing."""
    count = max(1, len(trajectories))
    return {
        "num_trajectories": len(trajectories),
        "answered": sum(t.answer is not None for t in trajectories) / count,
        "well_formed": sum(t.format_ok for t in trajectories) / count,
        "failed": sum(t.stop_reason.is_infrastructure for t in trajectories) / count,
        "tool_calls": sum(t.num_tool_calls for t in trajectories) / count,
        "sampled_tokens": sum(sum(t.loss_mask) for t in trajectories),
        "tokens": sum(len(t.token_ids) for t in trajectories),
    }
