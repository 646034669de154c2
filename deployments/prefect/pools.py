"""Work pools: one for what waits, one for light work, one for sampling, one for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents.errors import UsageError
from deployments.prefect.changes import Change
from deployments.prefect.templates import base_job_template, with_defaults

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

ROLES = {
    "control": "Runs, iterations and sweeps of EvolveSearch: they wait for stages.",
    "cpu": "Stages of EvolveSearch that need no accelerator.",
    "rollout": "Stages of EvolveSearch that sample: rollouts and benchmarks.",
    "train": "Stages of EvolveSearch that train: SFT and RL.",
}
"""What the pools are for; a pool's usual name is `evolve-` and its role."""


def usual_name(role: str) -> str:
    """A pool's name where none was given: the one in `prefect.yaml`."""
    return f"evolve-{role}"


@dataclass(frozen=True)
class Pool:
    """A work pool as it is wanted.

    Attributes:
        role: One of `ROLES`.
        name: Its name.
        type: What runs its jobs: process, docker, kubernetes, ecs, ….
        concurrency: Jobs at once; None: as it is, in a new pool without limit.
        image: Image of its jobs; None: as it is.
        working_dir: Folder that jobs of a process pool start in, the same on each of its hosts;
            None: as it is, in a new pool a temporary one.
    """

    role: str
    name: str
    type: str = "process"
    concurrency: int | None = None
    image: str | None = None
    working_dir: str | None = None


def ensure_pool(client: SyncPrefectClient, pool: Pool, *, dry_run: bool) -> Change:
    """Makes a pool, or brings one into line; what else was set in it stays.

    Raises:
        UsageError: There is one of that name and of another type, or no such type is known.
    """
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    try:
        found = client.read_work_pool(pool.name)
    except ObjectNotFound:
        found = None
    if found is None:
        template = with_defaults(base_job_template(client, pool.type), pool)
        if not dry_run:
            client.create_work_pool(
                WorkPoolCreate(
                    name=pool.name,
                    type=pool.type,
                    description=ROLES[pool.role],
                    base_job_template=template,
                    concurrency_limit=pool.concurrency,
                )
            )
        return Change("pool", pool.name, "created")
    if found.type != pool.type:
        raise UsageError(
            f"work pool {pool.name!r} is of type {found.type}, not {pool.type}, which cannot be "
            f"changed: `--type {pool.role}={found.type}` keeps it, "
            f"`--pool {pool.role}=NAME` makes another"
        )
    before = {
        "base_job_template": found.base_job_template,
        "concurrency_limit": found.concurrency_limit,
    }
    wanted: dict[str, Any] = {"base_job_template": with_defaults(found.base_job_template, pool)}
    if pool.concurrency is not None:
        wanted["concurrency_limit"] = pool.concurrency
    change = Change.between("pool", pool.name, before, wanted)
    if change.fields and not dry_run:
        updates = {field: wanted[field] for field in change.fields}
        client.update_work_pool(pool.name, WorkPoolUpdate(**updates))
    return change
