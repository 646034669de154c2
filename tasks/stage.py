"""One way to run a stage: reuse what is there, or compute it, and record what happened.

Whether a stage is done is decided by the manifests under its key. `--redo` and `--no-reuse` do
not remove anything: they compute the stage under a key of a next attempt, and from then on the
latest attempt is the one that is reused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from agents.errors import StageError, StoppedError
from tasks.artifacts import ArtifactStore
from tasks.config import StageContext
from tasks.leases import Lease, leased
from tasks.manifest import ArtifactRef, Manifest
from tasks.parts import part_of_key
from tasks.prefect_events import publish_budget
from tasks.runs import RunLog, StageRecord, utc_now
from tasks.stage_cache import stage_key
from tasks.stage_events import StageEvent, tell_stage
from tasks.stage_progress import stage_progress


@dataclass(frozen=True)
class StageWork:
    """What a stage computes, and all that its result depends on.

    Attributes:
        stage: Name of the stage (`rollout`, `sft`, …).
        config: Sections of the configuration that it reads, by name.
        inputs: Artifacts it reads, or digests of other inputs.
        outputs: Names of the artifacts it makes, the main one first.
        seed: Seed of the run.
        compute: Makes the artifacts under the key of the lease it is given.
        key_iteration: Iteration in the key; 0 where the result does not depend on it.
    """

    stage: str
    config: Mapping[str, Any]
    inputs: Sequence[ArtifactRef | str]
    outputs: Sequence[str]
    seed: int
    compute: Callable[[Lease], None]
    key_iteration: int = 0


@dataclass(frozen=True)
class StageOutcome:
    """What a stage came to.

    Attributes:
        artifacts: What it made, or found made already, by name; empty where it was skipped.
        metrics: Numbers worth showing.
        reused: Whether everything was there already.
        wall_s: Seconds it took.
    """

    artifacts: Mapping[str, ArtifactRef]
    metrics: Mapping[str, float] = field(default_factory=dict)
    reused: bool = False
    wall_s: float = 0.0


class _NotDoneError(Exception):
    """Somebody only looks, and the stage would have to be computed."""


_looking = ContextVar("looking", default=False)


def look_for(run: Callable[[], StageOutcome]) -> StageOutcome | None:
    """What a stage came to, where that stands already or nothing is to be done.

    Neither computes anything nor writes a record.

    Args:
        run: Runs the stage.

    Returns:
        Its outcome; None where it would be computed.
    """
    token = _looking.set(True)
    try:
        return run()
    except _NotDoneError:
        return None
    finally:
        _looking.reset(token)


def run_stage(store: ArtifactStore, context: StageContext, work: StageWork) -> StageOutcome:
    """Runs a stage, or finds its artifacts, and writes its record.

    Raises:
        EvolveSearchError: As the stage raised it; it leaves no artifact, and its record says so.
    """
    start = time.monotonic()
    record = _begun(context, work)
    key, found = _latest(store, context, work)
    if _looking.get():
        if found is None:
            raise _NotDoneError
        return _outcome(found, reused=True, wall_s=time.monotonic() - start)
    record = replace(record, key=key)
    if found is None:

        def is_done() -> bool:
            return _complete(store, key, work.outputs) is not None

        with leased(store.objects, key, context.run, is_done) as lease:
            found = _complete(store, key, work.outputs)
            if lease is not None and found is None:
                outcome = _compute(store, record, work, lease)
                _tell(record, outcome)
                return outcome
    assert found is not None
    outcome = _outcome(found, reused=True, wall_s=time.monotonic() - start)
    runs = RunLog(store.objects)
    if not _is_recorded(runs, record):
        runs.save_stage(_finished(record, outcome))
    _tell(record, outcome)
    return outcome


def run_part(
    store: ArtifactStore, context: StageContext, work: StageWork, part: int, parts: int
) -> None:
    """Does one of several parts of a stage's work, each under a lease of its own.

    It leaves no artifact: whoever runs the stage afterwards finds its work done.

    Args:
        store: The store.
        context: Which stage of which run it is.
        work: The stage, with the part to compute.
        part: Which part, from 1.
        parts: How many there are.
    """
    key, found = _latest(store, context, work)
    if found is not None:
        return

    def is_done() -> bool:
        return _complete(store, key, work.outputs) is not None

    with leased(store.objects, part_of_key(key, part, parts), context.run, is_done) as lease:
        if lease is not None and not is_done():
            RunLog(store.objects).save_stage(replace(_begun(context, work), key=key))
            work.compute(lease)


def _begun(context: StageContext, work: StageWork) -> StageRecord:
    return StageRecord(
        run=context.run,
        iteration=context.iteration,
        stage=work.stage,
        key="",
        status="running",
        subject=context.subject,
        started_at=utc_now(),
    )


def _compute(
    store: ArtifactStore, record: StageRecord, work: StageWork, lease: Lease
) -> StageOutcome:
    """Makes the artifacts, with a record that says how it went."""
    runs = RunLog(store.objects)
    start = time.monotonic()
    runs.save_stage(record)
    try:
        with stage_progress(work.stage):
            work.compute(lease)
        found = _complete(store, lease.key, work.outputs)
        if found is None:
            missing = [name for name in work.outputs if store.find(lease.key, name) is None]
            raise StageError(f"stage {work.stage} ended without making {', '.join(missing)}")
    except BaseException as error:
        # Also on Ctrl-C and kill signals: a record that says `running` would be wrong for ever.
        stopped = isinstance(error, StoppedError) or not isinstance(error, Exception)
        runs.save_stage(
            replace(
                record,
                status="stopped" if stopped else "failed",
                error=str(error) or type(error).__name__,
                wall_s=time.monotonic() - start,
            )
        )
        publish_budget(record, error)
        raise
    outcome = _outcome(found, reused=False, wall_s=time.monotonic() - start)
    runs.save_stage(_finished(record, outcome))
    return outcome


def skip_stage(
    store: ArtifactStore, context: StageContext, stage: str, reason: str
) -> StageOutcome:
    """Records that a stage has nothing to do, and why."""
    if _looking.get():
        return StageOutcome(artifacts={})
    RunLog(store.objects).save_stage(
        StageRecord(
            run=context.run,
            iteration=context.iteration,
            stage=stage,
            key="",
            status="skipped",
            subject=context.subject,
            started_at=utc_now(),
            error=reason,
        )
    )
    tell_stage(StageEvent(stage, context.iteration, context.subject, "skipped", False, 0.0))
    return StageOutcome(artifacts={})


def _latest(
    store: ArtifactStore, context: StageContext, work: StageWork
) -> tuple[str, dict[str, Manifest] | None]:
    """The key to work under, with the stage's artifacts where they may be reused."""
    attempt, key, found = 0, "", None
    while True:
        next_key = stage_key(
            work.stage,
            work.config,
            work.inputs,
            work.seed,
            work.key_iteration,
            redo=str(attempt or ""),
        )
        complete = _complete(store, next_key, work.outputs)
        if complete is None:
            break
        attempt, key, found = attempt + 1, next_key, complete
    wanted_again = work.stage in context.redo or "all" in context.redo
    if found is None:
        return next_key, None
    made_at = max(manifest.created_at for manifest in found.values())
    if wanted_again and made_at < context.fresh_since:
        return next_key, None
    return key, found


def _complete(store: ArtifactStore, key: str, outputs: Sequence[str]) -> dict[str, Manifest] | None:
    """The artifacts of a key by name, None where one is missing."""
    found = {name: store.find(key, name) for name in outputs}
    complete = {name: manifest for name, manifest in found.items() if manifest is not None}
    return complete if len(complete) == len(found) else None


def _outcome(found: Mapping[str, Manifest], *, reused: bool, wall_s: float) -> StageOutcome:
    metrics = {
        name: float(value)
        for manifest in found.values()
        for name, value in manifest.metadata.get("metrics", {}).items()
    }
    artifacts = {name: manifest.ref for name, manifest in found.items()}
    return StageOutcome(artifacts, metrics, reused, wall_s)


def _tell(record: StageRecord, outcome: StageOutcome) -> None:
    tell_stage(
        StageEvent(
            record.stage,
            record.iteration,
            record.subject,
            "done",
            outcome.reused,
            outcome.wall_s,
        )
    )


def _is_recorded(runs: RunLog, record: StageRecord) -> bool:
    """Whether this run computed the stage itself: its record then keeps the time that took."""
    return any(
        known.path == record.path and known.key == record.key and known.status == "done"
        for known in runs.stages(record.run)
    )


def _finished(record: StageRecord, outcome: StageOutcome) -> StageRecord:
    return replace(
        record,
        status="done",
        artifacts=tuple(outcome.artifacts.values()),
        reused=outcome.reused,
        wall_s=outcome.wall_s,
        metrics=outcome.metrics,
    )
