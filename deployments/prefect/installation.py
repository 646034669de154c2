"""The whole set-up of a server, part by part; a second time it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agents.errors import ConfigError
from deployments.prefect.automations import ensure_automation
from deployments.prefect.changes import Change
from deployments.prefect.manifest import Deployment
from deployments.prefect.pools import ROLES, Pool, ensure_pool, usual_name
from deployments.prefect.registration import ensure_deployment

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

PARTS = ("pools", "deployments", "automations")
"""What a set-up consists of, in order: deployments need their pools."""


def install(
    client: SyncPrefectClient,
    pools: Sequence[Pool],
    deployments: Sequence[Deployment],
    parts: Sequence[str] = PARTS,
    *,
    dry_run: bool = False,
) -> Iterator[Change]:
    """Sets a server up, and tells what it changes as it goes.

    Args:
        client: The server's client.
        pools: The pools, one for each role.
        deployments: The deployments.
        parts: Which of `PARTS`.
        dry_run: Change nothing, only tell.
    """
    if "pools" in parts:
        for pool in pools:
            yield ensure_pool(client, pool, dry_run=dry_run)
    if "deployments" in parts:
        names = {usual_name(pool.role): pool.name for pool in pools}
        for deployment in deployments:
            pool_name = _pool_of(deployment, names)
            yield ensure_deployment(client, deployment, pool_name, dry_run=dry_run)
    if "automations" in parts:
        yield ensure_automation(client, dry_run=dry_run)


def _pool_of(deployment: Deployment, names: Mapping[str, str]) -> str:
    name = deployment.work_pool.name
    if name not in names:
        known = ", ".join(usual_name(role) for role in ROLES)
        raise ConfigError(
            f"prefect.yaml: {deployment.entrypoint} is in work pool {name!r}; expected {known}"
        )
    return names[name]


def with_overrides(
    deployments: Sequence[Deployment], overrides: Mapping[str, Any]
) -> list[Deployment]:
    """The deployments with settings on top of each configuration that they hold.

    Args:
        deployments: The deployments.
        overrides: Values by dotted key; none: the deployments as they are.

    Raises:
        ConfigError: A setting is unknown or out of bounds.
    """
    if not overrides:
        return list(deployments)
    return [_with_overrides(each, overrides) for each in deployments]


def _with_overrides(deployment: Deployment, overrides: Mapping[str, Any]) -> Deployment:
    from flows.config import EvolutionConfig
    from flows.profiles import with_settings

    given = deployment.parameters.get("config")
    if given is None:
        return deployment
    config = with_settings(EvolutionConfig.model_validate(given), overrides)
    # What differs from the defaults alone, as in the file: the form shows the rest.
    changed = config.model_dump(mode="json", exclude_defaults=True)
    parameters = {**deployment.parameters, "config": {"profile": config.profile, **changed}}
    return deployment.model_copy(update={"parameters": parameters})


def lost_stores(pools: Sequence[Pool], deployments: Sequence[Deployment]) -> Iterator[str]:
    """Warnings of pools whose jobs would write into a folder that ends with their container."""
    from flows.config import EvolutionConfig

    names = {usual_name(pool.role): pool for pool in pools}
    for store in sorted(
        {
            EvolutionConfig.model_validate(each.parameters["config"]).store.uri
            for each in deployments
            if "config" in each.parameters
        }
    ):
        of_containers = [pool.name for pool in names.values() if pool.type != "process"]
        if of_containers and "://" not in store:
            yield (
                f"jobs of {', '.join(of_containers)} run in containers, but the store {store!r} is "
                "a local folder: it is lost with them unless all of them mount it; "
                "--store s3://BUCKET/PREFIX names one that is not"
            )
