"""The automation that ends zombies: flow runs that show no sign of life are marked as crashed.

A worker that is ended takes its flow runs with it, and a machine that fails takes both; on the
server they would stay Running for ever (PrefectHQ/prefect#16746, #22528), and a run that waits for
such a stage with them. Flow runs that workers start send heartbeats (`templates.ENVIRONMENT`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from deployments.prefect.changes import Change
from deployments.prefect.manifest import TAG
from deployments.prefect.templates import HEARTBEAT_S

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

NAME = "EvolveSearch: crash zombies"
SILENCE_S = 3 * HEARTBEAT_S
"""Seconds without a sign of life after which a flow run counts as dead."""

_HEARTBEAT = "prefect.flow-run.heartbeat"
# After these no heartbeat has to come: the run has ended, or waits outside of any process.
_ENDS = ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended", "Scheduled")


def zombie_automation() -> AutomationCore:
    """The automation, for flow runs with our tag alone."""
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    tag = {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}
    return AutomationCore(
        name=NAME,
        description=(
            f"Marks a flow run of EvolveSearch as crashed that was silent for {SILENCE_S} s: its "
            "worker or machine is gone. Made by `evolvesearch deploy`."
        ),
        tags=[TAG],
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(tag),
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *(f"prefect.flow-run.{state}" for state in _ENDS)},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENCE_S),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message=f"no sign of life for {SILENCE_S} s: its worker or machine is gone",
            )
        ],
    )


def ensure_automation(client: SyncPrefectClient, *, dry_run: bool) -> Change:
    """Makes the automation, or brings it into line; one that was switched off stays so."""
    wanted = zombie_automation()
    found = client.read_automations_by_name(NAME)
    if not found:
        if not dry_run:
            client.create_automation(wanted)
        return Change("automation", NAME, "created")
    mine = found[0]
    fields = {"description", "tags", "trigger", "actions"}
    change = Change.between(
        "automation",
        NAME,
        mine.model_dump(include=fields),
        wanted.model_dump(include=fields),
    )
    if change.fields and not dry_run:
        client.update_automation(mine.id, wanted.model_copy(update={"enabled": mine.enabled}))
    return change
