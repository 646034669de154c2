"""One way to run a stage: reuse what is there, or compute it, and record what happened.

Whether a stage is done is decided by the manifests under its key. `--redo` and `--no-reuse` do
not remove anything: they compute the stage under a key of a next attempt, and from then on the
latest attempt is the one that is reused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agents.errors import StageError
from tasks.artifacts import ArtifactStore
from tasks.config import StageContext
from tasks.manifest import ArtifactRef, Manifest
from tasks.runs import RunLog, StageRecord, utc_now
from tasks.stage_cache import stage_key
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
        compute: Makes the artifacts under the key it is given.
        key_iteration: Iteration in the key; 0 where the result does not depend on it.
    """

    stage: str
    config: Mapping[str, Any]
    inputs: Sequence[ArtifactRef | str]
    outputs: Sequence[str]
    seed: int
    compute: Callable[[str], None]
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


def run_stage(store: ArtifactStore, context: StageContext, work: StageWork) -> StageOutcome:
    """Runs a stage, or finds its artifacts, and writes its record.

    Raises:
        EvolveSearchError: As the stage raised it; it leaves no artifact, and its record says so.
    """
    runs = RunLog(store.objects)
    key, found = _latest(store, context, work)
    started_at, start = utc_now(), time.monotonic()
    record = StageRecord(
        run=context.run,
        iteration=context.iteration,
        stage=work.stage,
        key=key,
        status="running",
        subject=context.subject,
        started_at=started_at,
    )
    if found is not None:
        outcome = _outcome(found, reused=True, wall_s=time.monotonic() - start)
        if not _is_recorded(runs, record):
            runs.save_stage(_finished(record, outcome))
        return outcome
    runs.save_stage(record)
    try:
        with stage_progress(work.stage):
            work.compute(key)
        made = {name: store.find(key, name) for name in work.outputs}
        missing = [name for name, manifest in made.items() if manifest is None]
        if missing:
            raise StageError(f"stage {work.stage} ended without making {', '.join(missing)}")
    except BaseException as error:
        # Also on Ctrl-C and kill signals: a record that says `running` would be wrong for ever.
        stopped = not isinstance(error, Exception)
        runs.save_stage(
            replace(
                record,
                status="stopped" if stopped else "failed",
                error=str(error) or type(error).__name__,
                wall_s=time.monotonic() - start,
            )
        )
        raise
    present = {name: manifest for name, manifest in made.items() if manifest is not None}
    outcome = _outcome(present, reused=False, wall_s=time.monotonic() - start)
    runs.save_stage(_finished(record, outcome))
    return outcome


def skip_stage(
    store: ArtifactStore, context: StageContext, stage: str, reason: str
) -> StageOutcome:
    """Records that a stage has nothing to do, and why."""
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
        artifacts = {name: store.find(next_key, name) for name in work.outputs}
        complete = {name: m for name, m in artifacts.items() if m is not None}
        if len(complete) < len(artifacts):
            break
        attempt, key, found = attempt + 1, next_key, complete
    wanted_again = work.stage in context.redo or "all" in context.redo
    if found is None:
        return next_key, None
    made_at = max(manifest.created_at for manifest in found.values())
    if wanted_again and made_at < context.fresh_since:
        return next_key, None
    return key, found


def _outcome(found: Mapping[str, Manifest], *, reused: bool, wall_s: float) -> StageOutcome:
    metrics = {
        name: float(value)
        for manifest in found.values()
        for name, value in manifest.metadata.get("metrics", {}).items()
    }
    artifacts = {name: manifest.ref for name, manifest in found.items()}
    return StageOutcome(artifacts, metrics, reused, wall_s)


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
