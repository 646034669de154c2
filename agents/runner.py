"""Many trajectories at once over one engine.

Each trajectory is a coroutine of its own: whichever is ready generates, and none waits for the
turn of another. Rollout stage, RL, benchmark, cold start and `ask` all run through here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from agents.chat_format import Tokenizer
from agents.config import AgentConfig
from agents.engines.base import Engine
from agents.progress import progress
from agents.rollout import Rollout, RolloutJob, RolloutSetting, TurnCallback
from agents.tools.base import Tool
from agents.trajectory import Trajectory

__all__ = ["RolloutJob", "RolloutSetting", "run_jobs", "run_rollouts"]


async def run_jobs(
    jobs: Sequence[RolloutJob],
    engine: Engine,
    tokenizer: Tokenizer,
    tools: Mapping[str, Tool],
    config: AgentConfig,
    on_finished: Callable[[Trajectory], None] | None = None,
    max_concurrency: int = 64,
    *,
    on_turn: TurnCallback | None = None,
) -> list[Trajectory]:
    """Makes one trajectory for each job.

    Args:
        jobs: What to roll out; jobs of one question side by side share their prompt in the engine.
        engine: Generates; it is not closed.
        tokenizer: The policy's tokenizer, with a chat template.
        tools: The tools by name.
        config: Prompt and limits.
        on_finished: Called with each trajectory as it ends, in order of ending.
        max_concurrency: Most trajectories in progress at once.
        on_turn: Called with the trajectory's id and each turn as it ends.

    Returns:
        The trajectories in the order of the jobs. Infrastructure failures of single rollouts are
        in them as typed endings; all else (a cancel, an exception of a callback) ends all
        rollouts, frees their sessions and is raised.

    Raises:
        UsageError: The prompt template cannot be used.
        EngineError: The tokenizer has no usable chat template.
        ValueError: Two jobs have the same trajectory id, or `max_concurrency` is below 1.
    """
    if max_concurrency < 1:
        raise ValueError(f"max_concurrency is {max_concurrency}, expected at least 1")
    names = Counter(job.trajectory_id for job in jobs)
    doubled = [name for name, count in names.items() if count > 1]
    if doubled:
        raise ValueError(f"several jobs have the trajectory id {doubled[0]}")
    setting = RolloutSetting(tokenizer, tools, config)
    finished: dict[int, Trajectory] = {}
    waiting = iter(enumerate(jobs))

    async def work() -> None:
        for position, job in waiting:
            trajectory = await Rollout(job, setting, engine, on_turn).run()
            finished[position] = trajectory
            if on_finished is not None:
                on_finished(trajectory)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(max_concurrency, len(jobs))):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        # One cause is enough to say why it ended; the others are cancelled with it.
        raise failures.exceptions[0] from failures
    return [finished[position] for position in range(len(jobs))]


def run_rollouts(
    jobs: Sequence[RolloutJob],
    engine: Engine,
    tokenizer: Tokenizer,
    tools: Mapping[str, Tool],
    config: AgentConfig,
    on_finished: Callable[[Trajectory], None] | None = None,
    max_concurrency: int = 64,
    *,
    on_turn: TurnCallback | None = None,
    description: str = "Rollouts",
) -> list[Trajectory]:
    """Runs `run_jobs` in an event loop of its own, under a bar that says `description`."""
    with progress(description, len(jobs), "rollouts") as bar:

        def finish(trajectory: Trajectory) -> None:
            if on_finished is not None:
                on_finished(trajectory)
            bar.advance(detail=trajectory.stop_reason.value)

        return asyncio.run(
            run_jobs(
                jobs, engine, tokenizer, tools, config, finish, max_concurrency, on_turn=on_turn
            )
        )
