"""Compares what a training is going to take with what there is, before it starts.

An estimate that is too high names the setting that would bring it down, tried out in order: fewer
sequences in a pass, activations computed again, fewer sessions of the engine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from agents.engines.config import EngineConfig
from agents.errors import MemoryNeedError
from training.config import TrainingConfig
from training.memory_estimate import (
    GIB,
    Batch,
    MemoryEstimate,
    Ranks,
    estimate_engine,
    estimate_training,
    with_engine,
)
from training.model_shape import ModelShape

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MemoryNeed:
    """What a training's peak depends on.

    Attributes:
        stage: `sft` or `rl`.
        shape: The model.
        training: Micro-batches and checkpointing.
        batch_of: The largest batch of so many sequences.
        bf16: Whether passes are computed in bf16.
        device: `cpu` or `cuda`.
        reference: Whether a reference model lies beside the policy.
        ranks: How it is spread over processes.
        engine: The engine in the same process, None where there is none.
        context: Longest conversation of the engine, in tokens.
    """

    stage: Literal["sft", "rl"]
    shape: ModelShape
    training: TrainingConfig
    batch_of: Callable[[int], Batch]
    bf16: bool
    device: str = "cpu"
    reference: bool = False
    ranks: Ranks = field(default_factory=Ranks)
    engine: EngineConfig | None = None
    context: int = 0

    def estimate(self) -> MemoryEstimate:
        """The peak of one process, its engine included."""
        found = estimate_training(
            self.shape,
            self.batch_of(self.training.micro_batch_size),
            bf16=self.bf16,
            device=self.device,
            gradient_checkpointing=self.training.gradient_checkpointing,
            reference=self.reference,
            ranks=self.ranks,
        )
        if self.engine is None:
            return found
        engine = estimate_engine(self.shape, self.engine, self.context, bf16=self.bf16)
        return with_engine(found, engine)

    @property
    def num_bytes(self) -> int:
        """The peak of all processes that share the memory."""
        return self.estimate().num_bytes * self.ranks.on_machine


def check_memory(need: MemoryNeed, free: int | None, mode: str) -> None:
    """Compares a training's estimate with what is free.

    Args:
        need: The training.
        free: Bytes that it may take; None: not known, and nothing is compared.
        mode: `error`, `warn` or `off` (`training.memory_check`).

    Raises:
        MemoryNeedError: It needs more, and `mode` is `error`.
    """
    if mode == "off" or free is None or need.num_bytes <= free:
        return
    processes = "" if need.ranks.on_machine == 1 else f" in each of {need.ranks.on_machine} ranks"
    message = (
        f"{need.stage} is estimated to take {need.estimate()}{processes}, but only "
        f"{free / GIB:.2f} GiB are free: {advice(need, free)}"
    )
    if mode == "error":
        raise MemoryNeedError(f"{message}; --set training.memory_check=warn tries it all the same")
    logger.warning("%s", message)


def advice(need: MemoryNeed, free: int | None = None) -> str:
    """The setting to change, in words.

    Args:
        need: The training.
        free: Bytes that it may take; None: not known, and the first step down is named.
    """
    last = ""
    for setting, smaller in _smaller(need):
        last = f"set {setting} (estimated {smaller.num_bytes / GIB:.2f} GiB)"
        if free is None or smaller.num_bytes <= free:
            return last
    if last:
        return f"{last}, and even that is too much: take a smaller model or another machine"
    return "take a smaller model, a shorter agents.max_context_tokens or another machine"


def _smaller(need: MemoryNeed) -> Iterator[tuple[str, MemoryNeed]]:
    """The same training with less memory, step by step; each setting with those before it."""
    settings: list[str] = []
    size = need.training.micro_batch_size
    while size > 1:
        size //= 2
        need = _with(need, micro_batch_size=size)
        yield f"training.micro_batch_size={size}", need
    if need.training.micro_batch_size == 1:
        settings = ["training.micro_batch_size=1"]
    if not need.training.gradient_checkpointing:
        settings.append("training.gradient_checkpointing=true")
        need = _with(need, gradient_checkpointing=True)
        yield " ".join(settings), need
    while need.engine is not None and need.engine.batch_size > max(1, need.engine.num_replicas):
        sessions = max(need.engine.num_replicas, need.engine.batch_size // 2)
        need = replace(need, engine=need.engine.model_copy(update={"batch_size": sessions}))
        yield " ".join([*settings, f"engine.batch_size={sessions}"]), need


def _with(need: MemoryNeed, **settings: object) -> MemoryNeed:
    return replace(need, training=need.training.model_copy(update=settings))
