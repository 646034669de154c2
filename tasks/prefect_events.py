"""What a run tells Prefect's automations as events.

Tripped sentinels, promotions and rollbacks, budgets that are reached, and how runs end;
docs/events.md lists them with their payloads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.errors import BudgetError
from tasks.runs import PolicyEntry, RunRecord, StageRecord, decision_of

SENTINEL_EVENT = "evolvesearch.sentinel.tripped"
"""Name of the event; its payload is the record of the trip (`tasks.trips`)."""

PROMOTED_EVENT = "evolvesearch.policy.promoted"
ROLLED_BACK_EVENT = "evolvesearch.policy.rolled_back"
FORCED_EVENT = "evolvesearch.policy.force_promoted"
"""Names of the events of an iteration's end; the payload is the policy's entry in the run's
document, without its scores on the benchmarks."""

BUDGET_EVENT = "evolvesearch.budget.reached"
"""Name of the event of a stage that may pay for nothing more; its payload says which stage of which
run, and in words which budget, what is spent and how to go on."""

FINISHED_EVENT = "evolvesearch.run.finished"
STOPPED_EVENT = "evolvesearch.run.stopped"
FAILED_EVENT = "evolvesearch.run.failed"
"""Names of the events of a run's end: done; stopped by a rule, a sentinel, a budget or a person;
failed. The payload is the run's record in short, with the last promoted policy."""

_ENDS = {"done": FINISHED_EVENT, "stopped": STOPPED_EVENT, "failed": FAILED_EVENT}


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


def publish_budget(record: StageRecord, error: BaseException) -> None:
    """Tells that a stage has reached a budget, where that is what ended it.

    Outside a Prefect flow nothing is published.

    Args:
        record: The stage.
        error: What ended it.
    """
    if not isinstance(error, BudgetError):
        return
    where = f"{record.stage} {record.subject or record.iteration}"
    resource = {
        "prefect.resource.id": f"evolvesearch.stage.{record.key}",
        "prefect.resource.name": f"{where} of {record.run}",
        "evolvesearch.run": record.run,
    }
    payload = {
        "run": record.run,
        "iteration": record.iteration,
        "stage": record.stage,
        "subject": record.subject,
        "message": str(error),
    }
    _emit(BUDGET_EVENT, resource, payload)


def publish_end(record: RunRecord) -> None:
    """Tells how a run has ended.

    Outside a Prefect flow nothing is published.

    Args:
        record: The run, with its last status.
    """
    resource = {
        "prefect.resource.id": f"evolvesearch.run.{record.run}",
        "prefect.resource.name": record.run,
        "evolvesearch.run": record.run,
        "evolvesearch.profile": record.profile,
    }
    promoted = [entry for entry in record.policies if entry.promoted]
    payload = {
        "run": record.run,
        "profile": record.profile,
        "status": record.status,
        "error": record.error,
        "wall_s": round(record.wall_s, 3),
        "policies": len(record.policies),
        "policy": promoted[-1].digest if promoted else None,
        "policy_name": promoted[-1].name if promoted else None,
    }
    _emit(_ENDS[record.status], resource, payload)


def _emit(event: str, resource: dict[str, str], payload: dict[str, Any]) -> None:
    from prefect.context import FlowRunContext, TaskRunContext
    from prefect.events import emit_event

    if FlowRunContext.get() is not None or TaskRunContext.get() is not None:
        emit_event(event, resource=resource, payload=payload)
