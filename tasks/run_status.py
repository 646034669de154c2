"""Where the unfinished runs of a store stand: at which stage, since when, and who works on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.run_owner import Owner, owner_of_run, owner_of_stage
from tasks.runs import RunLog, RunRecord, StageRecord
from tasks.storage.objects import ObjectStore

INTERRUPTED = "interrupted"
"""State of a run whose record says `running`, but on which nothing works any more."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run that has not come to its end.

    Attributes:
        run: Its name.
        profile: The profile it was started with.
        state: `running`, `interrupted`, `failed` or `stopped`.
        iteration: Iteration of the stage it is at; 0 before the first.
        stage: That stage: the one that runs, else the last that began; empty before the first.
        subject: What the stage works on, where an iteration has it more than once.
        since: When that stage began, ISO 8601 in UTC.
        owner: Who works on the run, or did when it was killed; None where nobody does.
        error: Why it failed or stopped, empty where it did not.
    """

    run: str
    profile: str
    state: str
    iteration: int
    stage: str
    subject: str
    since: str
    owner: Owner | None
    error: str


def unfinished_runs(objects: ObjectStore) -> list[RunStatus]:
    """All runs that are not done, the oldest first.

    Raises:
        StoreError: The store could not be read.
    """
    log = RunLog(objects)
    records = [record for record in log.runs() if record.status != "done"]
    return [status_of(objects, record, log.stages(record.run)) for record in records]


def status_of(objects: ObjectStore, record: RunRecord, stages: Sequence[StageRecord]) -> RunStatus:
    """Where one run stands.

    Args:
        objects: The store.
        record: The run's record.
        stages: Its stages, in the order they started.

    Raises:
        StoreError: The store could not be read.
    """
    current = _current(stages)
    owner = worker_on(objects, record.run, stages)
    state = record.status
    if state == "running" and (owner is None or not owner.alive):
        state = INTERRUPTED
    return RunStatus(
        run=record.run,
        profile=record.profile,
        state=state,
        iteration=current.iteration if current else 0,
        stage=current.stage if current else "",
        subject=current.subject if current else "",
        since=current.started_at if current else record.started_at,
        owner=owner,
        error=record.error,
    )


def worker_on(objects: ObjectStore, run: str, stages: Sequence[StageRecord]) -> Owner | None:
    """Who works on a run: the process of its loop, else one that a dead loop has left at a stage.

    Returns:
        A living owner where there is one, else the one that was killed, else None.
    """
    running = [stage.key for stage in stages if stage.status == "running"]
    owners = [owner_of_run(objects, run), *(owner_of_stage(objects, key) for key in running)]
    known = [owner for owner in owners if owner is not None]
    return next((owner for owner in known if owner.alive), known[0] if known else None)


def _current(stages: Sequence[StageRecord]) -> StageRecord | None:
    known = [stage for stage in stages if stage.status == "running"] or list(stages)
    return known[-1] if known else None
