"""What `evolvesearch doctor` looks at beyond this machine: the store, and Prefect's server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agents.errors import EvolveSearchError
from deployments.cli.checks import Check
from deployments.cli.options import store_exists
from deployments.cli.versions import version

if TYPE_CHECKING:
    from deployments.prefect.state import PrefectState
    from flows.config import EvolutionConfig
    from tasks.storage.config import StoreConfig

_START = "start it (make server)"


def store(config: StoreConfig) -> Check:
    """Whether the artifact store can be opened."""
    from tasks.artifacts import ArtifactStore

    if not store_exists(config.uri):
        return Check("store", "ok", f"{config.uri} (made by the first run)")
    try:
        artifacts = ArtifactStore.open(config)
        found = f"{artifacts.uri}, {len(artifacts.manifests())} artifacts"
    except EvolveSearchError as error:
        return Check("store", "fail", str(error), "--store names another place")
    return Check("store", "ok", found)


def prefect(config: EvolutionConfig) -> Iterator[Check]:
    """Prefect's server: the one that is named, or the one that a run starts for itself.

    Args:
        config: Says whether stages are sent to pools.
    """
    from deployments.prefect.state import ServerError, named_server, read_prefect

    dispatches = config.execution.mode == "dispatch"
    api_url = named_server()
    if api_url is None:
        if dispatches:
            found = "execution.mode=dispatch, but no server is named"
            yield Check("prefect", "fail", found, f"{_START}; export PREFECT_API_URL=…")
        else:
            yield Check("prefect", "ok", "no server named; a run starts one for itself")
        return
    try:
        state = read_prefect(api_url)
    except ServerError as error:
        yield Check("prefect", "fail", str(error), f"{_START}, or unset PREFECT_API_URL")
        return
    yield server(state)
    yield from pools(state, dispatches=dispatches)
    yield automation(state)
    yield zombies(state)


def server(state: PrefectState) -> Check:
    """Whether server and client speak the same version."""
    found = f"{state.api_url}, Prefect {state.server_version}"
    if version(state.server_version)[:2] == version(state.client_version)[:2]:
        return Check("prefect", "ok", found)
    hint = "a server must not be older than its clients: install the same version on both sides"
    status = "warn" if version(state.server_version) > version(state.client_version) else "fail"
    return Check("prefect", status, f"{found}; here: {state.client_version}", hint)


def pools(state: PrefectState, *, dispatches: bool) -> Iterator[Check]:
    """The work pools, and whether anybody takes what waits in them.

    Args:
        state: The server.
        dispatches: Whether stages are sent to pools.
    """
    if not state.pools:
        status = "fail" if dispatches else "ok"
        hint = "evolvesearch deploy" if dispatches else ""
        yield Check("pools", status, "none at this server", hint)
    for pool in state.pools:
        workers = f"{len(pool.workers) or 'no'} worker{'s' * (len(pool.workers) > 1)} online"
        found = f"{workers}, {pool.running} running, {pool.late} late"
        name = f"pool {pool.name}"
        if pool.paused:
            hint = f"prefect work-pool resume {pool.name}"
            yield Check(name, "warn", f"paused, {found}", hint)
        elif not pool.workers and (pool.late or dispatches):
            hint = f"evolvesearch worker {pool.name}"
            yield Check(name, "warn", found, hint)
        elif pool.late:
            hint = "its workers are busy or cannot start runs: look into a worker's log"
            yield Check(name, "warn", found, hint)
        else:
            yield Check(name, "ok", found)


def automation(state: PrefectState) -> Check:
    """Whether an automation ends runs that nothing is heard from."""
    if state.zombie_automations:
        return Check("zombie automation", "ok", ", ".join(state.zombie_automations))
    if not state.pools:
        return Check("zombie automation", "ok", "none; without pools none is needed")
    found = "none: runs of a worker that was killed stay Running for ever"
    return Check("zombie automation", "warn", found, "evolvesearch deploy")


def zombies(state: PrefectState) -> Check:
    """Flow runs that are `Running` at the server and nowhere else."""
    if not state.zombies:
        return Check("zombies", "ok", "none")
    first = state.zombies[0]
    found = f"{len(state.zombies)} running without a heartbeat, such as {first.name}"
    return Check("zombies", "warn", found, f"prefect flow-run cancel {first.id}")
