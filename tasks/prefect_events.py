"""What a run tells Prefect's automations: a sentinel that tripped, as an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SENTINEL_EVENT = "evolvesearch.sentinel.tripped"
"""Name of the event; its payload is the record of the trip (`tasks.trips`)."""


def publish_child_event(event: Mapping[str, Any]) -> None:
    """Takes what a training's child emits, and passes a tripped sentinel on to Prefect.

    Outside a Prefect flow nothing is published.
    """
    from prefect.context import FlowRunContext, TaskRunContext
    from prefect.events import emit_event

    if event["event"] != SENTINEL_EVENT:
        return
    if FlowRunContext.get() is None and TaskRunContext.get() is None:
        return
    payload = dict(event["trip"])
    run, stage = payload["run"], f"{payload['stage']} {payload['iteration']}"
    emit_event(
        SENTINEL_EVENT,
        resource={
            "prefect.resource.id": f"evolvesearch.stage.{payload['key']}",
            "prefect.resource.name": f"{stage} of {run}",
            "evolvesearch.run": run,
            "evolvesearch.sentinel": payload["sentinel"],
        },
        payload=payload,
    )
