"""Checkpoints of SFT and RL: taken between two steps, handed to whoever keeps them.

The trainer writes its own form of a checkpoint (weights as safetensors; optimizer, scheduler and
random states as pickles of this process) into a scratch folder, and the folder goes to the
caller's `save`. A training that is resumed from one goes on at the next step with the same
weights, the same order of data and the same random numbers, so that it ends in the same policy.

A checkpoint is due by the clock or by the number of steps; by the clock only as often as keeps
its cost small. RL's are taken where a batch of rollouts has been used up, which is after each
step: the trainer forgets its buffer of rollouts when it is resumed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.config import TrainingConfig
from training.launch.world import ALONE, World
from training.reports import StepReport
from training.trainer_setup import StepReporter

_MAX_SHARE = 0.04
"""Most of the time that checkpoints by the clock may take."""
_NOT_OF_A_CHECKPOINT = ("training_args.bin", "README.md")
"""What the trainer adds and resumption does not read."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a training between two steps.

    Attributes:
        step: Optimizer steps done.
        folder: Files of the trainer.
        progress: What else the training has to know to go on, JSON values.
    """

    step: int
    folder: Path
    progress: Mapping[str, Any]

    @property
    def reports(self) -> list[StepReport]:
        """The reports of the steps done."""
        return [StepReport(**row) for row in self.progress["reports"]]


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where a training's checkpoints go, and the one that it goes on from.

    Attributes:
        save: Takes a checkpoint; its folder is removed when this returns.
        resume_from: The checkpoint to go on from, None to start anew.
    """

    save: Callable[[Checkpoint], None]
    resume_from: Checkpoint | None = None


class Checkpointer(TrainerCallback):
    """Has the trainer write checkpoints when they are due, and hands them on.

    Args:
        checkpoints: Where they go; None: none is taken.
        config: How often they are due.
        reporter: Reports of the steps so far, which belong to a checkpoint.
        more: What else belongs to its progress.
        world: The ranks: the main one says when a checkpoint is due, and hands it on.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        config: TrainingConfig,
        reporter: StepReporter,
        more: Callable[[], Mapping[str, Any]] = dict,
        world: World = ALONE,
    ) -> None:
        self._world = world
        self._checkpoints = checkpoints
        self._config = config
        self._reporter = reporter
        self._more = more
        self._last_at = self._began_at = time.monotonic()
        self._cost_s = 0.0

    @property
    def resume_from(self) -> str | None:
        """Folder to go on from, as the trainer asks for it."""
        resumed = self._checkpoints.resume_from if self._checkpoints else None
        return None if resumed is None else str(resumed.folder)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Starts the clock, and takes up the reports of the steps done before."""
        self._last_at = time.monotonic()
        if self._checkpoints is not None and self._checkpoints.resume_from is not None:
            self._reporter.steps[:] = self._checkpoints.resume_from.reports

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Asks for a checkpoint where one is due; after the last step there is nothing to keep."""
        if self._checkpoints is None or state.global_step >= state.max_steps:
            return
        self._began_at = time.monotonic()
        if self._world.agree(self._is_due(state.global_step)):
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Hands the files on that the trainer has just written."""
        assert self._checkpoints is not None
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        self._world.wait()  # each rank has written its part
        if not self._world.is_main:
            return
        for name in _NOT_OF_A_CHECKPOINT:
            (folder / name).unlink(missing_ok=True)
        progress = {"reports": [asdict(step) for step in self._reporter.steps], **self._more()}
        self._checkpoints.save(Checkpoint(state.global_step, folder, progress))
        shutil.rmtree(folder)
        self._last_at = time.monotonic()
        self._cost_s = self._last_at - self._began_at

    def _is_due(self, step: int) -> bool:
        config = self._config
        if config.checkpoint_steps is not None and step % config.checkpoint_steps == 0:
            return True
        if config.checkpoint_s is None:
            return False
        return self._began_at - self._last_at >= max(config.checkpoint_s, self._cost_s / _MAX_SHARE)
