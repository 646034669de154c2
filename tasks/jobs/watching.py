"""What SFT and RL tell while they train: every step goes to store, trackers and sentinels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agents.errors import SentinelTrippedError
from tasks.checkpoints import CheckpointLog, StoredCheckpoint
from tasks.heavy.child import Emit
from tasks.jobs.payload import Job
from tasks.prefect_events import SENTINEL_EVENT
from tasks.training_steps import TRAINING_STEPS, StepLog, step_row
from tasks.trips import TripLog, trip_record
from training.device_peaks import peak_flops, utilisation
from training.model_shape import ModelShape
from training.reports import StepReport, TrainingReport
from training.sentinels import Sentinels, Trip
from training.trackers import TrackedRun, Trackers, tracked_training


class Watch:
    """Watches one training; `note` is called after each of its steps.

    Args:
        job: The stage's work.
        stage: `sft` or `rl`.
        checkpoints: The checkpoints of the training.
        steps: Where its steps go.
        trackers: Who draws them.
        sentinels: What stops it.
        emit: Tells the parent.
    """

    def __init__(
        self,
        job: Job,
        stage: str,
        checkpoints: CheckpointLog,
        steps: StepLog,
        trackers: Trackers,
        sentinels: Sentinels,
        emit: Emit,
    ) -> None:
        self._job = job
        self._stage = stage
        self._checkpoints = checkpoints
        self._steps = steps
        self._trackers = trackers
        self._sentinels = sentinels
        self._emit = emit
        self._shape = ModelShape.of_folder(job.store.policy_folder(job.inputs["policy"]))
        one = peak_flops(job.config.training)
        self._peak = None if one is None else one * job.config.training.launch.num_processes

    def note(self, report: StepReport) -> None:
        """Takes a step.

        Raises:
            SentinelTrippedError: A sentinel stopped the training; its checkpoints are those from
                before the window that tripped it.
            StoreError: The step could not be written.
        """
        row = self.row(report)
        self._steps.add(row)
        more = {name: row[name] for name in ("tokens_per_s", "mfu")}
        self._trackers.note(self._stage, report, more)
        trip = self._sentinels.look(report)
        if trip is not None:
            self._stop(trip)

    def finish(self, report: TrainingReport) -> None:
        """Writes the artifact `training_steps` of a training that has ended."""
        self._job.write_table(TRAINING_STEPS, [self.row(step) for step in report.steps])

    def row(self, report: StepReport) -> dict[str, Any]:
        """A step as a row of `training_steps`."""
        config = self._job.config
        rollouts = config.rl.prompts_per_step * config.rl.num_generations
        num_sequences = rollouts if self._stage == "rl" else config.sft.batch_size
        mfu = utilisation(report, self._shape, num_sequences, self._peak)
        return step_row(self._stage, report, mfu)

    def _stop(self, trip: Trip) -> None:
        # First of all: however this ends, no start may go on from a checkpoint that went bad.
        back_to = self._checkpoints.roll_back(trip.last_good_step)
        job = self._job
        record = trip_record(trip, job.context, self._stage, job.key, back_to)
        TripLog(job.store.objects).save(record)
        self._emit({"event": SENTINEL_EVENT, "trip": asdict(record)})
        raise SentinelTrippedError(record.message)


def checkpoint_log(job: Job) -> CheckpointLog:
    """The checkpoints of a stage's training, those among them that its sentinels go back to."""
    config = job.config
    behind = config.sentinels.window - 1 if config.sentinels.enabled else 0
    return CheckpointLog(job.store.objects, job.key, config.training.checkpoints_keep, behind)


@contextmanager
def watched_training(
    job: Job,
    stage: str,
    checkpoints: CheckpointLog,
    resumed: StoredCheckpoint | None,
    emit: Emit,
) -> Iterator[Watch]:
    """Watches a training for the duration of a block.

    Args:
        job: The stage's work.
        stage: `sft` or `rl`.
        checkpoints: The checkpoints of the training.
        resumed: The one that it goes on from, None where it begins.
        emit: Tells the parent.
    """
    before = [] if resumed is None else resumed.checkpoint.reports
    context, training = job.context, job.config.training
    parts = [context.run, str(context.iteration), context.subject, stage]
    tracked = TrackedRun(
        name="-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", part) for part in parts if part),
        folder=None if training.report_folder is None else Path(training.report_folder),
        first_step=len(before) + 1,
    )
    log = StepLog(job.store, job.key)
    with tracked_training(training.report_to, tracked) as trackers, log.open():
        sentinels = Sentinels(job.config.sentinels, before)
        watch = Watch(job, stage, checkpoints, log, trackers, sentinels, emit)
        log.begin([watch.row(step) for step in before])
        yield watch


def rl_line(step: StepReport) -> str:
    """What the bar of RL says of a step: its reward and, where it is known, its entropy."""
    reward = "none" if step.reward_mean is None else f"{step.reward_mean:.2f}"
    entropy = step.metrics.get("entropy")
    return f"reward {reward}" + ("" if entropy is None else f", entropy {entropy:.2f}")
