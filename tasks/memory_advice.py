"""What to change where a stage ran out of memory: the one setting that saves most, by its name."""

from __future__ import annotations

from tasks.config import StageConfig


def memory_advice(stage: str, config: StageConfig) -> str:
    """The settings to lower, with their present values.

    Args:
        stage: Name of the stage.
        config: The configuration that it ran out of memory with.
    """
    if stage == "sft":
        return _of_training(config)
    if stage == "rl":
        return f"{_of_training(config)}, or {_of_sampling(config)} for its rollouts"
    return f"set {_of_sampling(config)}"


def _of_training(config: StageConfig) -> str:
    training = config.training
    if training.micro_batch_size > 1:
        half = training.micro_batch_size // 2
        return f"set training.micro_batch_size={half} (now {training.micro_batch_size})"
    if not training.gradient_checkpointing:
        return "set training.gradient_checkpointing=true"
    return f"set a lower agents.max_context_tokens (now {config.agents.max_context_tokens})"


def _of_sampling(config: StageConfig) -> str:
    engine = config.engine
    if engine.batch_size > engine.num_replicas:
        half = max(engine.num_replicas, engine.batch_size // 2)
        return f"engine.batch_size={half} (now {engine.batch_size})"
    if engine.num_replicas > 1:
        return f"engine.num_replicas=1 (now {engine.num_replicas})"
    return f"a lower agents.max_context_tokens (now {config.agents.max_context_tokens})"
