"""What a Prefect server says of itself: pools with their workers, late runs, zombies, automations.

It asks and changes nothing. `evolvesearch status` and `evolvesearch doctor` show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from agents.errors import EvolveSearchError, StageError
from deployments.prefect.automations import SILENCE_S
from deployments.prefect.connection import connection

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

_HEARTBEAT_EVENT = "prefect.flow-run.heartbeat"
_TIMEOUT_S = 5.0


class ServerError(EvolveSearchError):
    """A Prefect server does not answer, or not as one does."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """A work pool.

    Attributes:
        name: Its name.
        type: `process`, `docker`, `kubernetes`, ….
        paused: Whether it hands out no work.
        workers: Names of its workers that are online.
        late: Runs that should have started and that no worker has taken.
        running: Runs that its workers are at.
    """

    name: str
    type: str
    paused: bool
    workers: tuple[str, ...]
    late: int
    running: int


@dataclass(frozen=True, slots=True)
class Zombie:
    """A flow run that is `Running` at the server, and from which nothing is heard.

    Attributes:
        id: Its id.
        name: Its name.
        pool: The pool that it was started in.
        started_at: When it started, ISO 8601 in UTC.
    """

    id: str
    name: str
    pool: str
    started_at: str


@dataclass(frozen=True, slots=True)
class PrefectState:
    """A server.

    Attributes:
        api_url: Its address.
        server_version: Its version.
        client_version: The version installed here.
        pools: Its work pools, by name.
        zombies: Runs that workers started, and that have sent no heartbeat for `SILENCE_S`.
        zombie_automations: Names of the enabled automations that wait for missing heartbeats.
    """

    api_url: str
    server_version: str
    client_version: str
    pools: tuple[PoolState, ...]
    zombies: tuple[Zombie, ...]
    zombie_automations: tuple[str, ...]


def named_server() -> str | None:
    """The server that `PREFECT_API_URL` or Prefect's active profile names; None: none."""
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    return str(url) if url else None


def read_prefect(api_url: str) -> PrefectState:
    """Asks a server.

    Raises:
        ServerError: It does not answer, or refuses.
    """
    _check_answers(api_url)
    import prefect

    try:
        with connection(api_url) as client:
            runs = _active_runs(client)
            return PrefectState(
                api_url=api_url,
                server_version=client.api_version(),
                client_version=prefect.__version__,
                pools=tuple(_pools(client, runs)),
                zombies=tuple(_zombies(client, runs)),
                zombie_automations=tuple(_zombie_automations(client)),
            )
    except (httpx.HTTPError, StageError) as error:
        raise ServerError(f"{api_url}: {_words(error)}") from error


def _check_answers(api_url: str) -> None:
    """Makes sure that a server answers, quickly: Prefect's client is patient.

    Raises:
        ServerError: It does not.
    """
    try:
        httpx.get(f"{api_url}/health", timeout=_TIMEOUT_S).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServerError(f"{api_url} does not answer: {_words(error)}") from error


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _active_runs(client: SyncPrefectClient) -> list[FlowRun]:
    """Flow runs that are late or running."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateName,
    )

    names = FlowRunFilterStateName(any_=["Late", "Running"])
    chosen = FlowRunFilter(state=FlowRunFilterState(name=names))
    found: list[FlowRun] = []
    # The server gives a page of at most 200.
    while page := client.read_flow_runs(flow_run_filter=chosen, offset=len(found)):
        found += page
    return found


def _pools(client: SyncPrefectClient, runs: list[FlowRun]) -> list[PoolState]:
    states = []
    for pool in sorted(client.read_work_pools(limit=200), key=lambda each: each.name):
        workers = client.read_workers_for_work_pool(pool.name)
        names = [run.state_name for run in runs if run.work_pool_name == pool.name]
        states.append(
            PoolState(
                name=pool.name,
                type=pool.type,
                paused=pool.is_paused,
                workers=tuple(
                    sorted(worker.name for worker in workers if worker.status.value == "ONLINE")
                ),
                late=names.count("Late"),
                running=names.count("Running"),
            )
        )
    return states


def _zombies(client: SyncPrefectClient, runs: list[FlowRun]) -> list[Zombie]:
    """Runs without a heartbeat; inline sub-flows send none, and live as long as their parent."""
    from prefect.events.filters import (
        EventFilter,
        EventNameFilter,
        EventOccurredFilter,
        EventResourceFilter,
    )

    since = datetime.now(UTC) - timedelta(seconds=SILENCE_S)
    zombies = []
    for run in runs:
        if run.state_name != "Running" or run.work_pool_name is None or run.start_time is None:
            continue
        if run.start_time > since:
            continue
        wanted = EventFilter.model_validate(
            {
                "occurred": EventOccurredFilter.model_validate({"since": since}),
                "event": EventNameFilter(name=[_HEARTBEAT_EVENT]),
                "resource": EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
            }
        )
        if not client.read_events(wanted, limit=1).events:
            started = run.start_time.isoformat()
            zombies.append(Zombie(str(run.id), run.name, run.work_pool_name, started))
    return zombies


def _zombie_automations(client: SyncPrefectClient) -> list[str]:
    return sorted(
        automation.name
        for automation in client.read_automations(limit=200)
        if automation.enabled and _waits_for_heartbeats(automation.trigger)
    )


def _waits_for_heartbeats(trigger: Any) -> bool:
    """Whether a trigger fires where heartbeats stay away: its text names their event."""
    text: str = trigger.model_dump_json()
    return _HEARTBEAT_EVENT in text and '"Proactive"' in text
