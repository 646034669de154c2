"""Low-rank adapters, as the trainers are told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.launch.config import LoraConfig

if TYPE_CHECKING:
    from peft import LoraConfig as PeftLoraConfig

_ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def adapters(config: LoraConfig, *, dropout: bool) -> PeftLoraConfig | None:
    """The adapters to train, None where all weights are trained.

    Args:
        config: Their sizes.
        dropout: Whether their inputs are dropped out, as SFT may; RL's ratios would not survive it.
    """
    if not config.enabled:
        return None
    from peft import LoraConfig as PeftLoraConfig

    return PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout if dropout else 0.0,
        target_modules=_ATTENTION if config.targets == "attention" else config.targets,
        bias="none",
        task_type="CAUSAL_LM",
    )
