"""Serving deployments from one process, without work pools: for a laptop."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import TYPE_CHECKING, cast

from agents.errors import UsageError
from deployments.prefect.manifest import Deployment
from deployments.prefect.registration import flow_of, schedules_of
from deployments.prefect.templates import ENVIRONMENT

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment


def matching(deployments: Sequence[Deployment], patterns: Sequence[str]) -> list[Deployment]:
    """The deployments that are meant, by patterns of `flow/name`.

    Raises:
        UsageError: A pattern means none.
    """
    names = {id(each): f"{flow_of(each).name}/{each.name}" for each in deployments}
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in names.values()):
            known = ", ".join(sorted(names.values()))
            raise UsageError(f"no deployment {pattern!r}; expected one of {known}")
    return [
        each
        for each in deployments
        if any(fnmatch(names[id(each)], pattern) for pattern in patterns)
    ]


def serve_deployments(deployments: Sequence[Deployment], limit: int | None) -> None:
    """Serves deployments until the process is told to end.

    Args:
        deployments: The deployments; on the server they leave the work pool they were in.
        limit: Runs at once; None: Prefect's own limit.
    """
    from prefect import serve

    # Runs are child processes of this one, with its environment.
    os.environ.update(ENVIRONMENT)
    serve(
        *[_served(each) for each in deployments],
        pause_on_shutdown=False,
        print_starting_message=False,
        limit=limit,
    )


def _served(deployment: Deployment) -> RunnerDeployment:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.types.entrypoint import EntrypointType

    limit = deployment.concurrency_limit
    made = flow_of(deployment).to_deployment(
        deployment.name,
        parameters=deployment.parameters,
        description=deployment.description,
        tags=deployment.tags,
        version=deployment.version,
        enforce_parameter_schema=deployment.enforce_parameter_schema,
        schedules=schedules_of(deployment),
        concurrency_limit=ConcurrencyLimitConfig(
            limit=limit.limit, collision_strategy=ConcurrencyLimitStrategy(limit.collision_strategy)
        )
        if limit
        else None,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    # Typed as if it might be awaited, which it is only where a loop runs.
    return cast("RunnerDeployment", made)
