"""Registering deployments: what a server knows of one is compared, and only what differs is sent.

A schedule that was switched on or off on the server stays so; its times and parameters follow the
file. Schedules that the file does not have are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agents.errors import ConfigError
from deployments.prefect.changes import Change
from deployments.prefect.manifest import Deployment, Schedule

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.responses import DeploymentResponse


def flow_of(deployment: Deployment) -> Flow[..., Any]:
    """The flow that a deployment runs.

    Raises:
        ConfigError: There is none at its entry point.
    """
    from prefect.exceptions import MissingFlowError
    from prefect.flows import load_flow_from_entrypoint

    try:
        return load_flow_from_entrypoint(deployment.entrypoint, use_placeholder_flow=False)
    except (ImportError, AttributeError, MissingFlowError) as error:
        raise ConfigError(f"prefect.yaml: no flow at {deployment.entrypoint}: {error}") from error


def parameter_schema_of(flow: Flow[..., Any]) -> dict[str, Any]:
    """The schema of a flow's parameters, by which forms are drawn and values are checked."""
    from prefect.utilities.callables import parameter_schema

    return parameter_schema(flow).model_dump(mode="json", exclude_unset=True)


def ensure_deployment(
    client: SyncPrefectClient, deployment: Deployment, pool: str, *, dry_run: bool
) -> Change:
    """Makes a deployment, or brings one into line.

    Args:
        client: The server's client.
        deployment: The deployment.
        pool: Name of its work pool on this server.
        dry_run: Change nothing, only tell.
    """
    from prefect.exceptions import ObjectNotFound

    flow = flow_of(deployment)
    name = f"{flow.name}/{deployment.name}"
    fields = _fields(deployment, flow, pool)
    try:
        found = client.read_deployment_by_name(name)
    except ObjectNotFound:
        if not dry_run:
            flow_id = client.create_flow_from_name(flow.name)
            client.create_deployment(
                flow_id, deployment.name, schedules=schedules_of(deployment), **fields
            )
        return Change("deployment", name, "created")
    schedules = _schedules(found, deployment)
    change = Change.between(
        "deployment",
        name,
        {**_found(found), "schedules": schedules[0]},
        {**_plain(fields), "schedules": schedules[1]},
    )
    if change.fields and not dry_run:
        _update(client, found, deployment, fields, change.fields)
    return change


def _fields(deployment: Deployment, flow: Flow[..., Any], pool: str) -> dict[str, Any]:
    """What is sent of a deployment, its schedules apart."""
    from prefect.client.schemas.objects import ConcurrencyOptions

    limit = deployment.concurrency_limit
    return {
        "version": deployment.version,
        "description": deployment.description,
        "tags": deployment.tags,
        "entrypoint": deployment.entrypoint,
        "enforce_parameter_schema": deployment.enforce_parameter_schema,
        "parameters": deployment.parameters,
        "parameter_openapi_schema": parameter_schema_of(flow),
        "work_pool_name": pool,
        "job_variables": deployment.work_pool.job_variables,
        "pull_steps": [],
        "concurrency_limit": limit.limit if limit else None,
        "concurrency_options": ConcurrencyOptions(collision_strategy=limit.collision_strategy)
        if limit
        else None,
    }


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    options = fields["concurrency_options"]
    return {**fields, "concurrency_options": options.collision_strategy.value if options else None}


def _found(found: DeploymentResponse) -> dict[str, Any]:
    """The same of what the server has."""
    limit, options = found.global_concurrency_limit, found.concurrency_options
    return {
        "version": found.version,
        "description": found.description,
        "tags": found.tags,
        "entrypoint": found.entrypoint,
        "enforce_parameter_schema": found.enforce_parameter_schema,
        "parameters": found.parameters,
        "parameter_openapi_schema": found.parameter_openapi_schema,
        "work_pool_name": found.work_pool_name,
        "job_variables": found.job_variables,
        "pull_steps": found.pull_steps or [],
        "concurrency_limit": limit.limit if limit else None,
        "concurrency_options": options.collision_strategy.value if options else None,
    }


def _update(
    client: SyncPrefectClient,
    found: DeploymentResponse,
    deployment: Deployment,
    fields: Mapping[str, Any],
    changed: Sequence[str],
) -> None:
    from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate

    updates = {key: fields[key] for key in changed if key in fields}
    if "job_variables" in updates or "work_pool_name" in updates:
        # The server checks the one against the other.
        updates["job_variables"] = deployment.work_pool.job_variables
    if "schedules" in changed:
        active = {each.slug: each.active for each in found.schedules}
        updates["schedules"] = [
            DeploymentScheduleUpdate(
                slug=each.slug,
                schedule=_when(each),
                active=active.get(each.slug, each.active),
                parameters=each.parameters,
            )
            for each in deployment.schedules
        ]
    client.update_deployment(found.id, DeploymentUpdate(**updates))


def _schedules(
    found: DeploymentResponse, deployment: Deployment
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Times and parameters by slug, of those that the file has: as they are, and as wanted."""
    wanted = {each.slug: (_when(each), each.parameters) for each in deployment.schedules}
    there = {
        each.slug: (each.schedule, each.parameters)
        for each in found.schedules
        if each.slug in wanted
    }
    return there, wanted


def schedules_of(deployment: Deployment) -> list[DeploymentScheduleCreate]:
    """A deployment's schedules in Prefect's terms."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    return [
        DeploymentScheduleCreate(
            slug=each.slug,
            schedule=_when(each),
            active=each.active,
            parameters=each.parameters,
        )
        for each in deployment.schedules
    ]


def _when(schedule: Schedule) -> Any:
    from prefect.client.schemas.schedules import construct_schedule

    return construct_schedule(
        cron=schedule.cron,
        interval=schedule.interval,
        rrule=schedule.rrule,
        timezone=schedule.timezone,
    )
