"""Which device an engine runs on, and in which precision."""

from __future__ import annotations

import torch

from agents.engines.config import EngineConfig
from agents.errors import EngineError


def choose_device(name: str) -> torch.device:
    """Resolves `auto` or a torch device's name.

    Raises:
        EngineError: The device is unknown or absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise EngineError(
            f"cannot use device {name!r}: {str(error).strip().splitlines()[0]}; set engine.device "
            "to auto, cpu or cuda"
        ) from error
    return device


def choose_dtype(config: EngineConfig, device: torch.device) -> torch.dtype:
    """Resolves `auto`: bfloat16 where the device multiplies it natively, else float32."""
    if config.dtype == "bfloat16":
        return torch.bfloat16
    if config.dtype == "float32" or config.deterministic:
        return torch.float32
    return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions that multiply bfloat16 matrices."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        features = torch.cpu.get_capabilities()
        return any(bool(features.get(name)) for name in ("amx_bf16", "avx512_bf16"))
    return False
