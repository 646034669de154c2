"""Members of a sweep as runs of a deployment: workers of the control pool run several at once."""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from agents.errors import UsageError
from flows.sweep_members import Member
from tasks.artifacts import ArtifactStore
from tasks.runs import RunLog

_LONG_WAIT_S = 30.0
"""Seconds after which it is said that no worker has taken a member."""


@dataclass
class _Sent:
    """A member that was sent out.

    Attributes:
        member: The member.
        flow_run: Its flow run.
        tries: How often this sweep has sent it.
        since: When that was, by the monotonic clock.
        was_warned: Whether it was said that nobody takes it.
    """

    member: Member
    flow_run: UUID
    tries: int
    since: float = field(default_factory=time.monotonic)
    was_warned: bool = False


def dispatched_members(
    members: Sequence[Member], deployment: str, max_concurrent: int
) -> Iterator[tuple[Member, str]]:
    """Has workers run members, so many at once; yields each with its error, if any, as it ends.

    A member whose flow run crashed is sent again, `execution.attempts` times in all; one that
    failed by itself would only fail again.

    Args:
        members: The members.
        deployment: Deployment of `evolve` to send them to.
        max_concurrent: Members that are sent out at once; the pool's own limit holds beside it.

    Raises:
        UsageError: There is no such deployment.
    """
    if not members:
        return
    waiting, sent = deque(members), list[_Sent]()
    with get_client(sync_client=True) as client:
        _require(client, deployment)
        while waiting or sent:
            while waiting and len(sent) < max_concurrent:
                member = waiting.popleft()
                sent.append(_Sent(member, _send(member, deployment), 1))
            time.sleep(min(each.member.config.execution.poll_s for each in sent))
            for each in tuple(sent):
                state = client.read_flow_run(each.flow_run).state
                if state is None or not state.is_final():
                    _warn_of_waiting(each, state, deployment)
                    continue
                sent.remove(each)
                if state.is_crashed() and each.tries < each.member.config.execution.attempts:
                    again = _send(each.member, deployment)
                    sent.append(_Sent(each.member, again, each.tries + 1))
                else:
                    yield each.member, _error_of(each.member, state)


def _require(client: SyncPrefectClient, deployment: str) -> None:
    try:
        client.read_deployment_by_name(deployment)
    except (ObjectNotFound, ValueError) as error:
        raise UsageError(
            f"no deployment {deployment!r} on this Prefect server: `evolvesearch deploy` makes "
            "evolve/laptop; another one of evolve can be named"
        ) from error


def _send(member: Member, deployment: str) -> UUID:
    """Starts a member's flow run, or finds the one that is under way.

    What has ended under a key keeps it for ever: its next attempt is another key.
    """
    parameters = _parameters(member)
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:16]
    attempt = 0
    while True:
        attempt += 1
        run: FlowRun = run_deployment(
            deployment,
            parameters=parameters,
            flow_run_name=f"evolve {member.run}",
            timeout=0,
            idempotency_key=f"{member.run}/{digest}/a{attempt}",
        )
        if run.state is None or not run.state.is_final():
            return run.id


def _parameters(member: Member) -> dict[str, Any]:
    """What the deployment is started with; a worker's own folder says nothing of the store's."""
    config = member.config.model_dump(mode="json")
    config["store"]["uri"] = ArtifactStore.open(member.config.store).uri
    return {"config": config, "name": member.run}


def _warn_of_waiting(sent: _Sent, state: State | None, deployment: str) -> None:
    waits = state is None or state.is_scheduled() or state.is_pending()
    if waits and not sent.was_warned and time.monotonic() - sent.since > _LONG_WAIT_S:
        sent.was_warned = True
        get_run_logger().warning(
            "no worker has taken %s for %.0f s: is one running for the pool of %s, and is its "
            "limit not reached?",
            sent.member.run,
            _LONG_WAIT_S,
            deployment,
        )


def _error_of(member: Member, state: State) -> str:
    """Why a member's flow run did not complete, as the run itself recorded it where it could."""
    if state.is_completed():
        return ""
    record = RunLog(ArtifactStore.open(member.config.store).objects).run(member.run)
    recorded = record.error if record is not None and record.status != "running" else ""
    said = recorded or f"{state.name.lower()}: {state.message or 'its flow run says nothing'}"
    return " ".join(said.split())
