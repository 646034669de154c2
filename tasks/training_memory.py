"""What SFT and RL of a configuration may take of the memory, before anything is loaded."""

from __future__ import annotations

from tasks.config import StageConfig
from training.memory_check import MemoryNeed
from training.memory_estimate import Batch
from training.model_shape import ModelShape


def training_needs(
    config: StageConfig, shape: ModelShape, *, bf16: bool, device: str
) -> tuple[MemoryNeed, MemoryNeed]:
    """The needs of SFT and RL, every conversation as long as it may become.

    Args:
        config: The configuration.
        shape: The model.
        bf16: Whether passes are computed in bf16.
        device: `cpu` or `cuda`.
    """
    context = config.agents.max_context_tokens
    longest = min(context, config.sft.max_tokens or context)
    sft = MemoryNeed(
        stage="sft",
        shape=shape,
        training=config.training,
        batch_of=lambda size: _full(min(size, config.sft.batch_size), longest),
        bf16=bf16,
        device=device,
    )
    rollouts = config.rl.prompts_per_step * config.rl.num_generations
    rl = MemoryNeed(
        stage="rl",
        shape=shape,
        training=config.training,
        batch_of=lambda size: _full(min(size, rollouts), context),
        bf16=bf16,
        device=device,
        reference=config.rl.kl_coefficient > 0,
        engine=config.engine,
        context=context,
    )
    return sft, rl


def _full(size: int, longest: int) -> Batch:
    # About half of a conversation is sampled, the rest are prompts and observations.
    return Batch(size * longest, size * longest // 2, size, longest)
