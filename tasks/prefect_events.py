"""What a run tells Prefect's automations as events: tripped sentinels, promotions, rollbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.runs import PolicyEntry, decision_of

SENTINEL_EVENT = "evolvesearch.sentinel.tripped"
"""Name of the event; its payload is the record of the trip (`tasks.trips`)."""

PROMOTED_EVENT = "evolvesearch.policy.promoted"
ROLLED_BACK_EVENT = "evolvesearch.policy.rolled_back"
FORCED_EVENT = "evolvesearch.policy.force_promoted"
"""Names of the events of an iteration's end; the payload is the policy's entry in the run's
document, without its scores on the benchmarks."""


def publish_child_event(event: Mapping[str, Any]) -> None:
    """Takes what a training's child emits, and passes a tripped sentinel on to Prefect.

    Outside a Prefect flow nothing is published.
    """
    if event["event"] != SENTINEL_EVENT:
        return
    payload = dict(event["trip"])
    run, stage = payload["run"], f"{payload['stage']} {payload['iteration']}"
    resource = {
        "prefect.resource.id": f"evolvesearch.stage.{payload['key']}",
        "prefect.resource.name": f"{stage} of {run}",
        "evolvesearch.run": run,
        "evolvesearch.sentinel": payload["sentinel"],
    }
    _emit(SENTINEL_EVENT, resource, payload)


def publish_promotion(run: str, entry: PolicyEntry) -> None:
    """Tells what became of an iteration's candidate.

    Outside a Prefect flow nothing is published.

    Args:
        run: Name of the run.
        entry: The candidate.
    """
    event = PROMOTED_EVENT if entry.promoted else ROLLED_BACK_EVENT
    resource = {
        "prefect.resource.id": f"evolvesearch.policy.{entry.digest}",
        "prefect.resource.name": f"{entry.name} of {run}",
        "evolvesearch.run": run,
    }
    _emit(FORCED_EVENT if entry.forced else event, resource, {"run": run, **decision_of(entry)})


def _emit(event: str, resource: dict[str, str], payload: dict[str, Any]) -> None:
    from prefect.context import FlowRunContext, TaskRunContext
    from prefect.events import emit_event

    if FlowRunContext.get() is not None or TaskRunContext.get() is not None:
        emit_event(event, resource=resource, payload=payload)
