"""What the SFT and GRPO trainers share: quiet arguments, and reports in place of prints.

The libraries' trainers print, draw bars, write checkpoints, cards and telemetry. Here all of it
is off; each step becomes a `StepReport`, and the only thing written is the final policy.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from transformers.utils import logging as transformers_logging

from training.config import TrainingConfig
from training.policy_folder import resolve_device, resolve_precision
from training.reports import StepReport


def shared_arguments(config: TrainingConfig, output_dir: str, seed: int) -> dict[str, Any]:
    """Arguments of both trainers: device, precision, AdamW, and nothing written or shown."""
    cpu = resolve_device(config) == "cpu"
    return {
        "output_dir": output_dir,
        "seed": seed % 2**32,
        "use_cpu": cpu,
        "bf16": resolve_precision(config) == "bf16",
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


@contextmanager
def quiet_training(config: TrainingConfig) -> Iterator[None]:
    """Silences the libraries' logs, bars and warnings, and sets the number of threads."""
    loggers = [logging.getLogger(name) for name in ("trl", "accelerate", "datasets")]
    levels = [logger.level for logger in loggers]
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    threads = torch.get_num_threads()
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        if config.num_threads is not None:
            torch.set_num_threads(config.num_threads)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(trl|transformers|accelerate|torch)\.")
            warnings.filterwarnings("ignore", message=".*rollout_func.*")
            yield
    finally:
        torch.set_num_threads(threads)
        if bars:
            transformers_logging.enable_progress_bar()
        transformers_logging.set_verbosity(verbosity)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class StepReporter(TrainerCallback):  # type: ignore[misc]
    """Turns the trainer's log of each step into a `StepReport`.

    Attributes:
        steps: The reports so far.
        extras: Figures of the step under way, filled by the trainer: `tokens`, `reward_mean`,
            `num_mixed_groups` become fields of the report, all others its metrics.
    """

    def __init__(self, on_step: Callable[[StepReport], None], renamed: Mapping[str, str]) -> None:
        """Reports to `on_step`; of the trainer's own figures those in `renamed` are kept."""
        self.steps: list[StepReport] = []
        self.extras: dict[str, float] = {}
        self._on_step = on_step
        self._renamed = renamed
        self._since = time.perf_counter()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Starts the clock."""
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
        metrics = {
            ours: float(logs[theirs])
            for theirs, ours in self._renamed.items()
            if logs.get(theirs) is not None
        }
        metrics |= self.extras
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
