"""Hands stages over to the workers of their deployments, and waits until they have ended.

Each attempt has an idempotency key: a parent that was killed and started again finds the flow run
that still works for it, instead of starting a second. A flow run that had ended before is none of
this attempt, whatever came of it: whether a stage is done is decided by the store alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import get_run_logger

from agents.errors import StageError
from agents.progress import Bar, progress
from flows.cancellation import cancel
from flows.execution import ExecutionConfig

T = TypeVar("T")

_WARN_S = 30.0
_SERVER_AWAY_S = 300.0
"""Seconds that the server may be away, as while it is restarted, before a run gives up."""
_SERVER_PAUSE_S = 2.0


@dataclass(frozen=True)
class Order:
    """A stage, or a part of one, that a worker is to run.

    Attributes:
        deployment: `<flow>/<deployment>`.
        name: Name of its flow run.
        parameters: Parameters of the flow, JSON values.
        key: Names what is to be done, the same whenever the same is ordered.
        job_variables: What its job is started with, beside what the deployment says.
        tags: Tags of the flow run.
    """

    deployment: str
    name: str
    parameters: Mapping[str, Any]
    key: str
    job_variables: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()


@dataclass(frozen=True)
class Ended:
    """How an order ended.

    Attributes:
        order: The order.
        flow_run: Its last flow run.
        state: The state that this ended in.
    """

    order: Order
    flow_run: FlowRun
    state: State[Any]


def hand_over(orders: Sequence[Order], execution: ExecutionConfig) -> list[Ended]:
    """Has workers run orders side by side, and waits for all of them.

    Where this process is stopped or fails meanwhile, what it waits for is cancelled.

    Returns:
        How each ended, in their order; which may be a failure.

    Raises:
        StageError: There is no such deployment, no worker came within `execution.wait_s`, or the
            server stayed away.
    """
    ended = {each.order.key: each for each in handed_over(orders, execution, len(orders))}
    return [ended[order.key] for order in orders]


def handed_over(
    orders: Sequence[Order], execution: ExecutionConfig, at_once: int
) -> Iterator[Ended]:
    """The same for at most so many orders at once; each comes as it ends.

    Where whoever takes them fails or stops, what has not ended is cancelled.
    """
    waiting = deque(orders)
    sent: dict[str, tuple[_Sent, ExitStack]] = {}
    with get_client(sync_client=True) as client:
        try:
            while waiting or sent:
                while waiting and len(sent) < at_once:
                    order, shown = waiting.popleft(), ExitStack()
                    bar = shown.enter_context(progress(f"{order.name} on a worker", unit="s"))
                    sent[order.key] = _Sent(order, execution, client, bar), shown
                    sent[order.key][0].send()
                time.sleep(execution.poll_s)
                for key, (each, shown) in tuple(sent.items()):
                    each.look()
                    if each.ended is not None:
                        del sent[key]
                        shown.close()
                        yield each.ended
        except BaseException as error:
            # Nobody waits for them any more: without this a GPU would work on for no one.
            for each, shown in sent.values():
                shown.close()
                each.cancel(f"its parent stopped waiting: {type(error).__name__}")
            raise


class _Sent:
    """One order on its way, attempt by attempt.

    Attributes:
        ended: How it ended; None while it goes on.
    """

    def __init__(
        self, order: Order, execution: ExecutionConfig, client: SyncPrefectClient, bar: Bar
    ) -> None:
        self.ended: Ended | None = None
        self._order = order
        self._execution = execution
        self._client = client
        self._bar = bar
        self._flow_run: FlowRun | None = None
        self._is_own = False
        self._attempt = 0
        self._crashes = 0
        self._since = self._started = time.monotonic()
        self._has_warned = False

    def send(self) -> None:
        """Makes the flow run of the next attempt, or finds the one that is at work on it."""
        self._flow_run = None
        while self._flow_run is None:
            self._attempt += 1
            key = f"{self._order.key}/a{self._attempt}"
            found = self._find(key)
            if found is None:
                self._is_own, self._flow_run = True, self._make(key)
            elif found.state is not None and not found.state.is_final():
                self._is_own, self._flow_run = False, found
        self._since = time.monotonic()

    def look(self) -> None:
        """Looks how the flow run is doing; sends the order again where that may help."""
        assert self._flow_run is not None, "it was sent"
        flow_run_id = self._flow_run.id
        flow_run = _patiently(lambda: self._client.read_flow_run(flow_run_id))
        state = flow_run.state
        assert state is not None, "a flow run that was read has a state"
        self._flow_run = flow_run
        if not state.is_final():
            self._wait(state)
        elif state.is_cancelled() and not self._is_own:
            # The parent before this one had it cancelled as it ended.
            self.send()
        elif state.is_crashed() and self._crashes + 1 < self._execution.attempts:
            self._crashes += 1
            get_run_logger().warning(
                "%s crashed (%s): sending it out again", self._order.name, state.message
            )
            self.send()
        else:
            self.ended = Ended(self._order, flow_run, state)

    def cancel(self, reason: str) -> None:
        """Has the flow run cancelled, if there is one that has not ended."""
        if self._flow_run is not None and self.ended is None:
            cancel(self._client, self._flow_run, reason)

    def _find(self, key: str) -> FlowRun | None:
        wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
        found = _patiently(lambda: self._client.read_flow_runs(flow_run_filter=wanted, limit=1))
        return found[0] if found else None

    def _make(self, key: str) -> FlowRun:
        order = self._order

        def make() -> FlowRun:
            made: FlowRun = run_deployment(  # type: ignore[assignment]
                order.deployment,
                parameters=dict(order.parameters),
                flow_run_name=order.name,
                timeout=0,
                tags=order.tags,
                idempotency_key=key,
                job_variables=dict(order.job_variables),
            )
            return made

        try:
            return _patiently(make)
        except ObjectNotFound as error:
            raise StageError(
                f"the Prefect server {self._client.api_url} has no deployment "
                f"{order.deployment}: make it with `evolvesearch deploy`"
            ) from error
        except PrefectHTTPStatusError as error:
            raise StageError(f"{order.deployment} refused {order.name}: {error}") from error

    def _wait(self, state: State[Any]) -> None:
        """Shows what is waited for; warns where no worker comes, or gives up."""
        now = time.monotonic()
        scheduled = state.type == StateType.SCHEDULED
        detail = {
            StateType.SCHEDULED: "waiting for a worker",
            StateType.PENDING: "starting",
        }.get(state.type, state.name or "")
        self._bar.update(int(now - self._started), detail=detail.lower())
        if not scheduled:
            self._since = now
            return
        waited, limit = now - self._since, self._execution.wait_s
        if limit is not None and waited > limit:
            raise StageError(
                f"{self._order.name} has waited {waited:.0f} s for a worker "
                f"(execution.wait_s): {self._why()}"
            )
        if waited > _WARN_S and not self._has_warned:
            self._has_warned = True
            get_run_logger().warning(
                "%s has waited %.0f s for a worker: %s", self._order.name, waited, self._why()
            )

    def _why(self) -> str:
        """Why no worker may have come, as far as the work pool tells."""
        assert self._flow_run is not None, "it was sent"
        pool = self._flow_run.work_pool_name
        if pool is None:
            return f"{self._order.deployment} has no work pool"
        if _patiently(lambda: self._client.read_work_pool(pool)).is_paused:
            return f"work pool {pool} is paused; `prefect work-pool resume {pool}`"
        workers = _patiently(lambda: self._client.read_workers_for_work_pool(pool))
        online = [worker for worker in workers if worker.status == WorkerStatus.ONLINE]
        if not online:
            return (
                f"work pool {pool} has no worker online; `evolvesearch worker {pool}` on a machine "
                "of that pool starts one"
            )
        return f"the {len(online)} workers online of work pool {pool} are busy, or at its limit"


def _patiently(ask: Callable[[], T]) -> T:
    """Asks the server; asks again for some minutes where it is away.

    Raises:
        StageError: It stayed away.
    """
    until = time.monotonic() + _SERVER_AWAY_S
    while True:
        try:
            return ask()
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            if isinstance(error, PrefectHTTPStatusError) and error.response.is_client_error:
                raise
            if time.monotonic() > until:
                raise StageError(
                    f"the Prefect server has not answered for {_SERVER_AWAY_S:.0f} s: {error}; "
                    "the same command goes on once it does"
                ) from error
        time.sleep(_SERVER_PAUSE_S)
