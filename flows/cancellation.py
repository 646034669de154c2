"""Cancels what a flow run has started: a parent that fails or crashes leaves no worker at work.

Prefect itself passes a cancel on to the children, though only some 20 s later, and does nothing
where the parent fails or crashes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Cancelled, Cancelling

logger = logging.getLogger(__name__)

_AT_ONCE = 200


def cancel_children(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Cancels every flow run below this one that has not ended.

    For `on_failure`, `on_crashed` and `on_cancellation` of a flow that starts others.
    """
    reason = f"{flow_run.name} ({flow.name}) ended as {state.name}"
    with get_client(sync_client=True) as client:
        for child in _descendants(client, [flow_run.id]):
            cancel(client, child, reason)


def cancel(client: SyncPrefectClient, flow_run: FlowRun, reason: str) -> None:
    """Asks whoever runs a flow run to end it; one that nobody runs has ended then.

    A server that does not answer is logged and no error: the caller has one of its own to raise.

    Args:
        client: Where to ask.
        flow_run: The flow run.
        reason: Why, for its page.
    """
    # What has no deployment ran inside its parent's process, and has nobody to end it.
    of_worker = flow_run.deployment_id is not None
    state: Any = (Cancelling if of_worker else Cancelled)(message=f"cancelled because {reason}")
    try:
        client.set_flow_run_state(flow_run.id, state, force=not of_worker)
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        logger.warning("%s could not be cancelled: %s", flow_run.name, error)


def _descendants(client: SyncPrefectClient, parents: Iterable[UUID]) -> Iterator[FlowRun]:
    """All flow runs below some that have not ended."""
    above = list(parents)
    while above:
        children: list[FlowRun] = []
        wanted = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=above))
        while len(page := _page(client, wanted, len(children))) == _AT_ONCE:
            children += page
        children += page
        yield from (child for child in children if child.state and not child.state.is_final())
        above = [child.id for child in children]


def _page(client: SyncPrefectClient, wanted: FlowRunFilter, offset: int) -> list[FlowRun]:
    return client.read_flow_runs(flow_run_filter=wanted, limit=_AT_ONCE, offset=offset)
