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
    MemoryEstimate,
    Ranks,
    driver_parts,
    estimate_engine,
    estimate_sampling,
    estimate_training,
    handed_over,
)
from training.memory_pass import Batch
from training.model_shape import ModelShape

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the processes of a training hold at one time.

    Attributes:
        process: One training process.
        count: How many of them share the memory.
        beside: What there is once beside them: the driver of ranks, and its engine.
    """

    process: MemoryEstimate
    count: int
    beside: MemoryEstimate

    @property
    def num_bytes(self) -> int:
        """All of it."""
        return self.process.num_bytes * self.count + self.beside.num_bytes

    def __str__(self) -> str:
        text = str(self.process)
        if self.count > 1:
            text += f" in each of {self.count} ranks"
        if self.beside.num_bytes:
            text += f" and {self.beside} beside"
        return text


@dataclass(frozen=True)
class MemoryNeed:
    """What a training's peak depends on.

    Attributes:
        stage: `sft` or `rl`.
        shape: The model.
        training: Micro-batches, checkpointing and adapters.
        batch_of: The largest batch of so many sequences.
        bf16: Whether passes are computed in bf16.
        device: `cpu` or `cuda`.
        reference: Whether a reference model lies beside the policy.
        ranks: How it is spread over processes.
        engine: The engine in the stage's process, None where there is none.
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

    @property
    def worst(self) -> Moment:
        """The moment at which all processes together take most."""
        return max(self._moments(), key=lambda moment: moment.num_bytes)

    @property
    def num_bytes(self) -> int:
        """The peak of all processes that share the memory."""
        return self.worst.num_bytes

    def _moments(self) -> Iterator[Moment]:
        trainable = self._trainable()
        engine = self._engine_part()
        step = estimate_training(
            self.shape,
            self.batch_of(self.training.micro_batch_size),
            bf16=self.bf16,
            device=self.device,
            gradient_checkpointing=self.training.gradient_checkpointing,
            trainable=trainable,
            reference=self.reference,
            ranks=self.ranks,
        )
        yield self._moment(step, engine)
        if self.stage == "rl":
            sampling = estimate_sampling(
                self.shape,
                device=self.device,
                trainable=trainable,
                reference=self.reference,
                ranks=self.ranks,
            )
            handed = handed_over(
                self.shape, device=self.device, trainable=trainable, ranks=self.ranks
            )
            yield self._moment(sampling, engine | handed)

    def _moment(self, rank: MemoryEstimate, once: dict[str, int]) -> Moment:
        """The parts that are there once lie in the one process, or beside the ranks."""
        if not self.ranks.apart:
            return Moment(rank.with_parts(once), 1, MemoryEstimate())
        beside = driver_parts(self.device) | once
        return Moment(rank, self.ranks.on_machine, MemoryEstimate().with_parts(beside))

    def _trainable(self) -> int | None:
        lora = self.training.lora
        if not lora.enabled:
            return None
        only = lora.targets == "attention"
        return self.shape.adapter_weights(lora.rank, attention_only=only)

    def _engine_part(self) -> dict[str, int]:
        if self.engine is None:
            return {}
        size = estimate_engine(self.shape, self.engine, self.context, bf16=self.bf16)
        return {"engine": size}


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
    message = (
        f"{need.stage} is estimated to take {need.worst}, but only {free / GIB:.2f} GiB are "
        f"free: {advice(need, free)}"
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
