"""Many trajectories at once over one engine.

Each trajectory is a coroutine of its own: whichever is ready generates, none waits for the turn of
another, and one that waits for a tool holds no place (`agents.places`). Rollout stage, RL,
benchmark, cold start and `ask` all run through here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from agents.chat_format import Tokenizer
from agents.config import AgentConfig
from agents.engines.base import Engine
from agents.interruption import run_interruptibly
from agents.places import Places, RunnerStats
from agents.progress import progress
from agents.rollout import Rollout, RolloutJob, RolloutSetting, TurnCallback
from agents.tools.base import Tool
from agents.trajectory import Trajectory

__all__ = ["RolloutJob", "RolloutSetting", "RunnerStats", "run_jobs", "run_rollouts"]


async def run_jobs(
    jobs: Sequence[RolloutJob],
    engine: Engine,
    tokenizer: Tokenizer,
    tools: Mapping[str, Tool],
    config: AgentConfig,
    on_finished: Callable[[Trajectory], None] | None = None,
    max_concurrency: int = 64,
    max_open: int | None = None,
    *,
    on_turn: TurnCallback | None = None,
    on_stats: Callable[[RunnerStats], None] | None = None,
) -> list[Trajectory]:
    """Makes one trajectory for each job.

    Args:
        jobs: What to roll out; jobs of one question side by side share their prompt in the engine.
        engine: Generates; it is not closed.
        tokenizer: The policy's tokenizer, with a chat template.
        tools: The tools by name.
        config: Prompt and limits.
        on_finished: Called with each trajectory as it ends, in order of ending.
        max_concurrency: Most trajectories that generate at once; fewer while an engine that
            reports its load is short of memory.
        max_open: Most trajectories in progress at once, those that wait for a tool included;
            None: twice `max_concurrency`.
        on_turn: Called with the trajectory's id and each turn as it ends.
        on_stats: Called at the end with how well the places were used.

    Returns:
        The trajectories in the order of the jobs. Infrastructure failures of single rollouts are
        in them as typed endings; all else (a cancel, an exception of a callback) ends all
        rollouts, frees their sessions and is raised.

    Raises:
        UsageError: The prompt template cannot be used.
        EngineError: The tokenizer has no usable chat template.
        StoppedError: A budget is spent.
        ValueError: Two jobs have the same trajectory id, or a limit is below 1.
    """
    max_open = 2 * max_concurrency if max_open is None else max_open
    for name, value in (("max_concurrency", max_concurrency), ("max_open", max_open)):
        if value < 1:
            raise ValueError(f"{name} is {value}, expected at least 1")
    names = Counter(job.trajectory_id for job in jobs)
    doubled = [name for name, count in names.items() if count > 1]
    if doubled:
        raise ValueError(f"several jobs have the trajectory id {doubled[0]}")
    setting = RolloutSetting(tokenizer, tools, config)
    places = Places(engine, min(max_concurrency, max_open), max_open, len(jobs))
    finished: dict[int, Trajectory] = {}

    async def work(position: int, job: RolloutJob) -> None:
        trajectory = await Rollout(job, setting, places, on_turn).run()
        finished[position] = trajectory
        if on_finished is not None:
            on_finished(trajectory)

    async def open_all() -> None:
        async with asyncio.TaskGroup() as rollouts:
            for position, job in enumerate(jobs):
                await places.open(job.trajectory_id)
                rollouts.create_task(work(position, job))

    follower = asyncio.create_task(places.follow_pressure())
    try:
        await open_all()
    except BaseExceptionGroup as failures:
        # One cause is enough to say why it ended; the others are cancelled with it.
        raise failures.exceptions[0] from failures
    finally:
        follower.cancel()
    if on_stats is not None:
        on_stats(places.stats)
    return [finished[position] for position in range(len(jobs))]


def run_rollouts(
    jobs: Sequence[RolloutJob],
    engine: Engine,
    tokenizer: Tokenizer,
    tools: Mapping[str, Tool],
    config: AgentConfig,
    on_finished: Callable[[Trajectory], None] | None = None,
    max_concurrency: int = 64,
    max_open: int | None = None,
    *,
    on_turn: TurnCallback | None = None,
    description: str = "Rollouts",
) -> list[Trajectory]:
    """Runs `run_jobs` in an event loop of its own, under a bar that says `description`.

    An `agents.interruption.Interruption` around it can end it.
    """
    with progress(description, len(jobs), "rollouts") as bar:

        def finish(trajectory: Trajectory) -> None:
            if on_finished is not None:
                on_finished(trajectory)
            bar.advance(detail=trajectory.stop_reason.value)

        return run_interruptibly(
            run_jobs(
                jobs,
                engine,
                tokenizer,
                tools,
                config,
                finish,
                max_concurrency,
                max_open,
                on_turn=on_turn,
            )
        )
