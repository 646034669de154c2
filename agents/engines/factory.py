"""Makes the engine that a configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agents.engines.config import EngineConfig

if TYPE_CHECKING:
    from agents.engines.base import PolicyEngine
    from agents.engines.transformers import TransformersEngine


def make_engine(model_dir: Path, config: EngineConfig, max_context_tokens: int) -> PolicyEngine:
    """Loads a model and starts an engine on it; torch is imported here and not before.

    Args:
        model_dir: Plain Hugging Face folder: config.json, safetensors and tokenizer.
        config: Which engine, and how it runs.
        max_context_tokens: Most tokens that one session may hold.

    Raises:
        EngineError: The model cannot be loaded or is of a family that is not supported, or the
            server does not start or answer.
    """
    if config.kind == "vllm":
        from agents.engines.vllm import VllmEngine

        return VllmEngine(model_dir, config, max_context_tokens)
    if config.kind == "openai":
        from agents.engines.openai import OpenAiEngine

        return OpenAiEngine(model_dir, config, max_context_tokens)

    from agents.engines.transformers import TransformersEngine

    if config.num_replicas == 1:
        return TransformersEngine(model_dir, config, max_context_tokens)

    from agents.engines.replicas import ReplicatedEngine

    part = config.model_copy(
        update={"num_replicas": 1, "batch_size": -(-config.batch_size // config.num_replicas)}
    )
    engines: list[TransformersEngine] = []
    try:
        for _ in range(config.num_replicas):
            engines.append(TransformersEngine(model_dir, part, max_context_tokens))
    except BaseException:
        for engine in engines:
            engine.close()
        raise
    return ReplicatedEngine(engines)
