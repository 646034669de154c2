"""What the SFT and GRPO trainers share: quiet arguments, and reports in place of prints.

The libraries' trainers print, draw bars, write checkpoints, cards and telemetry. Here all of it
is off; each step becomes a `StepReport`, and the only things written are the final policy and,
where they are asked for, checkpoints.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from training.config import TrainingConfig
from training.launch.deepspeed_settings import deepspeed_settings
from training.launch.world import ALONE, World
from training.policy_folder import resolve_device, resolve_precision
from training.quiet import quiet_libraries
from training.reports import StepReport

COLLECTIVE_TIMEOUT_S = 7 * 24 * 3600
"""Ranks wait for each other as long as rollouts may take; the driver knows when to end them."""


def shared_arguments(config: TrainingConfig, output_dir: str, seed: int) -> dict[str, Any]:
    """Arguments of both trainers: device, precision, AdamW, and nothing written or shown."""
    cpu = resolve_device(config) == "cpu"
    bf16 = resolve_precision(config) == "bf16"
    settings = deepspeed_settings(config, bf16=bf16, cpu=cpu)
    if settings is not None:
        bf16 = bool(settings["bf16"].get("enabled")) if "bf16" in settings else False
    return {
        "output_dir": output_dir,
        "seed": seed % 2**32,
        "use_cpu": cpu,
        "bf16": bf16,
        "deepspeed": settings,
        "ddp_find_unused_parameters": False,
        "ddp_timeout": COLLECTIVE_TIMEOUT_S,
        "tf32": None if cpu else True,
        "optim": "adamw_torch_fused",
        "max_grad_norm": config.gradient_clip,
        "gradient_checkpointing": config.gradient_checkpointing,
        "dataloader_pin_memory": not cpu,
        "remove_unused_columns": False,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "push_to_hub": False,
    }


def micro_batch(num_sequences: int, config: TrainingConfig) -> int:
    """Sequences in one forward pass: the largest divisor of a rank's batch that memory allows."""
    share = num_sequences // config.launch.num_processes
    return next(
        size for size in range(min(share, config.micro_batch_size), 0, -1) if share % size == 0
    )


@contextmanager
def training_session(config: TrainingConfig) -> Iterator[None]:
    """Silences the libraries and sets the number of threads for the duration of a block."""
    threads = torch.get_num_threads()
    try:
        if config.num_threads is not None:
            torch.set_num_threads(config.num_threads)
        with quiet_libraries():
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def trainer_folder(output_dir: Path) -> Iterator[str]:
    """A folder for what the trainer writes on its way, beside the policy; removed at the end."""
    folder = output_dir.with_name(f"{output_dir.name}.trainer")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder)


class StepReporter(TrainerCallback):
    """Turns the trainer's log of each step into a `StepReport`.

    Attributes:
        steps: The reports so far.
        extras: Figures of the step under way, filled by the trainer: `tokens`, `reward_mean`,
            `num_mixed_groups` become fields of the report, all others its metrics.
    """

    def __init__(
        self,
        on_step: Callable[[StepReport], None],
        world: World = ALONE,
        on_begin: Callable[[], None] = lambda: None,
    ) -> None:
        """Reports to `on_step`; `on_begin` is called when all is ready for the first step.

        Figures in `extras` are added up over the ranks: each tells its part of them.
        """
        self._world = world
        self._on_begin = on_begin
        self.steps: list[StepReport] = []
        self.extras: dict[str, float] = {}
        self._on_step = on_step
        self._since = time.perf_counter()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Starts the clock."""
        self._on_begin()
        self._since = time.perf_counter()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Reports a step; the summary at the end of training is not one."""
        if logs is None or "loss" not in logs:
            return
        now = time.perf_counter()
        metrics = self._world.sum(self.extras)
        reward, mixed = metrics.pop("reward_mean", None), metrics.pop("num_mixed_groups", None)
        report = StepReport(
            step=state.global_step,
            num_steps=state.max_steps,
            loss=float(logs["loss"]),
            grad_norm=float(logs.get("grad_norm", 0.0)),
            learning_rate=float(logs.get("learning_rate", 0.0)),
            tokens=int(metrics.pop("tokens", 0)),
            wall_s=now - self._since,
            reward_mean=reward,
            num_mixed_groups=None if mixed is None else int(mixed),
            metrics=metrics,
        )
        self._since = now
        self.extras = {}
        self.steps.append(report)
        self._on_step(report)


def report_only(trainer: Trainer, reporter: StepReporter) -> None:
    """Leaves the reporter as the only voice of a trainer."""
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(reporter)
