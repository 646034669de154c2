"""Members of a sweep as runs of a deployment: workers of the control pool run several at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

from flows.config import EvolutionConfig
from flows.dispatch import error_of, with_absolute_store
from flows.handover import Order, handed_over
from flows.sweep_members import Member
from tasks.artifacts import ArtifactStore
from tasks.runs import RunLog


def dispatched_members(
    config: EvolutionConfig, members: Sequence[Member], deployment: str, max_concurrent: int
) -> Iterator[tuple[Member, str]]:
    """Has workers run members, so many at once; yields each with its error, if any, as it ends.

    Args:
        config: What all members share.
        members: The members.
        deployment: Deployment of `evolve` to send them to.
        max_concurrent: Members that are sent out at once; the pool's own limit holds beside it.

    Raises:
        StageError: There is no such deployment, no worker came within `execution.wait_s`, or the
            server stayed away.
    """
    of_order = {_order(member, deployment).key: member for member in members}
    orders = [_order(member, deployment) for member in members]
    for ended in handed_over(orders, config.execution, max_concurrent):
        member = of_order[ended.order.key]
        if ended.state.is_completed():
            yield member, ""
        else:
            yield member, _recorded(member) or " ".join(str(error_of(ended)).split())


def _order(member: Member, deployment: str) -> Order:
    parameters = {
        "config": with_absolute_store(member.config).model_dump(mode="json"),
        "name": member.run,
    }
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:16]
    return Order(
        deployment=deployment,
        name=f"evolve {member.run}",
        parameters=parameters,
        key=f"{member.run}/{digest}",
        tags=(f"run:{member.run}",),
    )


def _recorded(member: Member) -> str:
    """Why a member failed, in the words of its own record, where it came to write them."""
    record = RunLog(ArtifactStore.open(member.config.store).objects).run(member.run)
    return " ".join(record.error.split()) if record is not None and record.status != "done" else ""
