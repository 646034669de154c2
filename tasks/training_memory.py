"""What SFT and RL of a configuration may take of the memory, before anything is loaded."""

from __future__ import annotations

from tasks.config import StageConfig
from training.config import TrainingConfig
from training.launch.deepspeed_settings import zero_stage
from training.memory_check import MemoryNeed
from training.memory_estimate import Ranks
from training.memory_pass import Batch
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
    processes = config.training.launch.num_processes
    longest = min(context, config.sft.max_tokens or context)
    sft = MemoryNeed(
        stage="sft",
        shape=shape,
        training=config.training,
        batch_of=lambda size: _full(min(size, config.sft.batch_size // processes), longest),
        bf16=bf16,
        device=device,
        ranks=ranks_of(config.training, device),
    )
    rollouts = config.rl.prompts_per_step * config.rl.num_generations
    rl = MemoryNeed(
        stage="rl",
        shape=shape,
        training=config.training,
        batch_of=lambda size: _full(min(size, rollouts // processes), context),
        bf16=bf16,
        device=device,
        reference=config.rl.kl_coefficient > 0,
        engine=config.engine,
        context=context,
        ranks=ranks_of(config.training, device),
    )
    return sft, rl


def ranks_of(training: TrainingConfig, device: str) -> Ranks:
    """How a training is spread over processes.

    Those on accelerators have a device each; on a CPU they share the machine's memory.
    """
    return Ranks(
        total=training.launch.num_processes,
        apart=training.in_ranks,
        on_machine=training.launch.num_local if device == "cpu" else 1,
        zero_stage=zero_stage(training),
        offload=training.deepspeed.endswith("-offload"),
    )


def _full(size: int, longest: int) -> Batch:
    # About half of a conversation is sampled, the rest are prompts and observations.
    return Batch(size * longest, size * longest // 2, size, longest)
