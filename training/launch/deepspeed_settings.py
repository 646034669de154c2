"""DeepSpeed's settings for a training: a shipped file or one's own, filled in where only we know.

No setting here needs a compiler when a training starts. DeepSpeed would compile two things: kernels
of its own for sums over CPU ranks, which gloo does as well, and its own Adam for states that lie in
the machine's memory, in whose place torch's is taken.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents.errors import UsageError
from training.config import TrainingConfig
from training.launch.config import SHIPPED

CONFIGS = Path(__file__).parent / "configs"
"""The shipped settings."""
ACCELERATE_CONFIG = CONFIGS / "accelerate.yaml"


def deepspeed_settings(config: TrainingConfig, *, bf16: bool, cpu: bool) -> dict[str, Any] | None:
    """The settings to give to the trainer; None where DeepSpeed is off.

    Args:
        config: What names them.
        bf16: Whether passes are computed in bf16; weights and optimizer stay fp32 by autocast,
            unless settings of one's own ask for another precision.
        cpu: Whether the ranks train on a CPU.

    Raises:
        UsageError: The file is not there, is no JSON, or has no ZeRO settings.
    """
    if config.deepspeed == "off":
        return None
    shipped = config.deepspeed in SHIPPED
    path = CONFIGS / f"{config.deepspeed}.json" if shipped else Path(config.deepspeed)
    try:
        settings: dict[str, Any] = json.loads(path.read_text())
        zero = settings["zero_optimization"]
        zero["stage"]
    except OSError as error:
        raise UsageError(f"training.deepspeed: cannot read {path}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"training.deepspeed: {path} is no JSON document with zero_optimization.stage"
        ) from error
    if shipped and cpu:
        zero["overlap_comm"] = False  # there is no second stream to overlap with
    if not _has_own_precision(settings):
        settings["bf16"] = {"enabled": False}
        settings["fp16"] = {"enabled": False}
        if bf16:
            settings["torch_autocast"] = {
                "enabled": True,
                "dtype": "bfloat16",
                "lower_precision_safe_modules": [],  # gradients are summed in fp32
            }
    return settings


def zero_stage(config: TrainingConfig) -> int:
    """The stage of ZeRO, 0 where DeepSpeed is off.

    Raises:
        UsageError: As `deepspeed_settings`.
    """
    settings = deepspeed_settings(config, bf16=False, cpu=False)
    return 0 if settings is None else int(settings["zero_optimization"]["stage"])


def without_compiler() -> None:
    """Keeps DeepSpeed from compiling its sums over CPU ranks; to be called before it starts."""
    import deepspeed.ops

    # What it asks before it builds; it would else run a compiler to find out.
    deepspeed.ops.__compatible_ops__ = {}


def _has_own_precision(settings: dict[str, Any]) -> bool:
    return any(settings.get(name, {}).get("enabled") for name in ("bf16", "fp16", "torch_autocast"))
