"""How a stage's work becomes a Prefect task: tried again where its child was killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from tasks.heavy.outcome import HeavyKilledError

P = ParamSpec("P")
R = TypeVar("R")


def stage_task(run_name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Makes a Prefect task of a function that runs a stage.

    A child that was killed from outside is started once more; it goes on after its last finished
    trajectory. Every other failure would only happen again. Reuse is decided by the store's
    manifests, so Prefect caches and persists nothing.

    Args:
        run_name: Name of the task's runs.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        made: Task[P, R] = task(
            task_run_name=run_name,
            retries=1,
            retry_condition_fn=_was_killed,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(function)
        return made

    return decorate


def _was_killed(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), HeavyKilledError)
