"""The most arithmetic that a device can do, which model FLOPs utilisation is a share of.

Dense bf16 with fp32 accumulation, from the makers' data sheets. A CPU's peak depends on its clock
and its vector units: name it with `training.peak_tflops`.
"""

from __future__ import annotations

import torch

from training.config import TrainingConfig
from training.model_shape import ModelShape
from training.policy_folder import resolve_device
from training.reports import StepReport

_PEAK_TFLOPS = (
    ("B200", 2250.0),
    ("H200", 989.0),
    ("H100 PCIe", 756.0),
    ("H100 NVL", 835.0),
    ("H100", 989.0),
    ("A100", 312.0),
    ("L40S", 362.0),
    ("L4", 121.0),
    ("RTX 4090", 165.0),
)
"""By a part of the device's name, the longer names first."""


def peak_flops(config: TrainingConfig) -> float | None:
    """Operations a second of one device; None where that is not known."""
    if config.peak_tflops is not None:
        return config.peak_tflops * 1e12
    if resolve_device(config) == "cpu":
        return None
    return peak_of(torch.cuda.get_device_name())


def peak_of(name: str) -> float | None:
    """Operations a second of the device of this name; None: not known."""
    return next((peak * 1e12 for part, peak in _PEAK_TFLOPS if part in name), None)


def utilisation(
    report: StepReport, shape: ModelShape, num_sequences: int, peak: float | None
) -> float | None:
    """Model FLOPs utilisation of a step: the arithmetic that it needs over what devices could do.

    RL's rollouts are sampling: their seconds are left out, and of their tokens only those count
    that were trained on (`trained_tokens`).

    Args:
        report: The step.
        shape: The model.
        num_sequences: Sequences of a step.
        peak: Operations a second of all devices together; None: not known.

    Returns:
        0 to 1; None where something is not known.
    """
    is_rl = report.num_mixed_groups is not None
    tokens = report.metrics.get("trained_tokens", None if is_rl else report.tokens)
    seconds = report.wall_s - report.metrics.get("rollout_s", 0.0)
    if peak is None or tokens is None or seconds <= 0:
        return None
    head = int(report.metrics.get("loss_tokens", tokens))
    context = report.tokens / max(1, num_sequences)
    return shape.training_flops(int(tokens), head, context) / (seconds * peak)
