"""Base job templates: how a pool starts a job, with this project's defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from importlib import resources
from typing import TYPE_CHECKING, Any

from agents.errors import UsageError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from deployments.prefect.pools import Pool

CONSOLE = "flows.steady_console.SteadyConsoleHandler"
"""Named, not imported: Prefect takes long to import, and a template needs nothing of it."""

HEARTBEAT_S = 30
"""Seconds between two signs of life of a flow run, the least that Prefect allows."""

ENVIRONMENT = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
    # Prefect reads it when it is imported, which in a job is before our code is.
    "DO_NOT_TRACK": "1",
}
"""Environment of every job, on top of what a deployment asks for."""

PROCESS_ENVIRONMENT = {"PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS": CONSOLE}
"""Further environment of jobs that a process worker runs: they outlive a worker that is killed."""

GPU_ROLES = frozenset({"rollout", "train"})
"""Pools whose jobs get an accelerator, where the template can ask for one."""
_GPU_TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


def base_job_template(client: SyncPrefectClient, kind: str) -> dict[str, Any]:
    """The template of a new pool: ours for Kubernetes, Prefect's own for all others.

    Raises:
        UsageError: Prefect knows no such type.
    """
    if kind == "kubernetes":
        return kubernetes_template()
    if kind == "process":
        from prefect.workers.process import ProcessWorker

        return deepcopy(ProcessWorker.get_default_base_job_template())
    view = client.request(
        "GET", "/collections/views/{view}", path_params={"view": "aggregate-worker-metadata"}
    )
    known = {
        worker["type"]: worker["default_base_job_configuration"]
        for collection in view.json().values()
        for worker in collection.values()
    }
    if kind not in known:
        raise UsageError(f"unknown type of work pool {kind!r}; expected {', '.join(sorted(known))}")
    template: dict[str, Any] = known[kind]
    return template


def kubernetes_template() -> dict[str, Any]:
    """Our template for Kubernetes: GPUs, node selector, tolerations, shared memory."""
    file = resources.files("deployments") / "kubernetes" / "base-job-template.json"
    template: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return template


def with_defaults(template: Mapping[str, Any], pool: Pool) -> dict[str, Any]:
    """A template with the defaults that a pool of ours has; everything else in it stays.

    Raises:
        UsageError: An image or folder was given that jobs of this type cannot have.
    """
    changed = deepcopy(dict(template))
    properties: dict[str, dict[str, Any]] = changed["variables"]["properties"]
    env = properties["env"]
    ours = ENVIRONMENT | (PROCESS_ENVIRONMENT if pool.type == "process" else {})
    env["default"] = {**(env.get("default") or {}), **ours}
    for variable, value in (("image", pool.image), ("working_dir", pool.working_dir)):
        if value is None:
            continue
        if variable not in properties:
            raise UsageError(f"work pools of type {pool.type} have no {variable}; got {value!r}")
        properties[variable]["default"] = value
    if pool.type == "kubernetes":
        # By this label a service finds the first machine of a training on several.
        properties["labels"].setdefault("default", {"evolvesearch.io/role": pool.role})
    if pool.role in GPU_ROLES and "gpus" in properties:
        # What was set by hand stays, 0 included.
        properties["gpus"].setdefault("default", 1)
        properties["tolerations"].setdefault("default", [_GPU_TOLERATION])
    return changed
