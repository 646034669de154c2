"""Peak memory of SFT and RL, estimated from a model's sizes before anything is loaded.

The figures are sums over what lies in memory at the worst moment of a step, the beginning of its
backward pass, with the constants of this project's own trainers: fp32 weights, gradients and AdamW
moments, packed rows without padding, logits a tile at a time. RL's worst moment may also be while
it samples. docs/memory.md compares them with measured peaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.engines.config import EngineConfig
from training.memory_pass import Batch, activations, logits
from training.model_shape import ModelShape

GIB = 1 << 30

_PROGRAM = {"cpu": int(0.45 * GIB), "cuda": int(0.8 * GIB)}
"""Python with torch and its libraries; on an accelerator its context and workspaces."""
_DRIVER = int(0.55 * GIB)
"""The process that started ranks, and their launcher."""
_DDP = 1.6
"""Copies of all gradients that DDP's buckets take: one, and what it makes them of (measured)."""
_ZERO_ON_CPU = 5.7
"""Copies of all that is learnt which DeepSpeed makes on its way between CPU ranks, and which the
allocator keeps: flat weights, gradients, buckets (measured with ZeRO-2)."""
_BUCKET = 500_000_000
"""Most elements that DeepSpeed gathers or reduces at a time on an accelerator."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """How a training is spread over processes.

    Attributes:
        total: Processes in all.
        apart: Whether they are processes of their own, beside the stage's, which has the engine.
        on_machine: Of these, the ones that share this machine's memory.
        zero_stage: DeepSpeed's stage, 0: every process holds all of it.
        offload: Whether the optimizer's state lies in the machine's memory.
    """

    total: int = 1
    apart: bool = False
    on_machine: int = 1
    zero_stage: int = 0
    offload: bool = False


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes at the peak by what they hold, for one process on one device.

    Attributes:
        parts: Bytes by name, the largest first.
    """

    parts: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """All of it."""
        return sum(self.parts.values())

    def with_parts(self, parts: Mapping[str, int]) -> MemoryEstimate:
        """With further parts."""
        both = {**self.parts, **parts}
        return MemoryEstimate(dict(sorted(both.items(), key=lambda part: -part[1])))

    def __str__(self) -> str:
        shown = [
            f"{name} {size / GIB:.2f}" for name, size in self.parts.items() if size >= 0.005 * GIB
        ]
        return f"{self.num_bytes / GIB:.2f} GiB ({', '.join(shown)})"


def estimate_training(
    shape: ModelShape,
    batch: Batch,
    *,
    bf16: bool,
    device: str = "cpu",
    gradient_checkpointing: bool = False,
    trainable: int | None = None,
    reference: bool = False,
    ranks: Ranks | None = None,
) -> MemoryEstimate:
    """Estimates the peak of one training process.

    Args:
        shape: The model.
        batch: The largest batch of one pass.
        bf16: Whether passes are computed in bf16.
        device: `cpu` or `cuda`.
        gradient_checkpointing: Whether activations are computed again in the backward pass.
        trainable: Weights of adapters, which alone are trained (LoRA); None: all are.
        reference: Whether a reference model lies beside it (a KL penalty).
        ranks: How it is spread; None: one process.
    """
    ranks = ranks or Ranks()
    learnt = shape.num_weights if trainable is None else trainable
    parts = _states(shape, device, trainable, reference, ranks)
    parts["gradients"] = 4 * learnt // (ranks.total if ranks.zero_stage >= 2 else 1)
    parts["activations"] = activations(
        shape,
        batch,
        bf16=bf16,
        checkpointing=gradient_checkpointing,
        adapters=trainable is not None,
    )
    parts["logits"] = logits(shape, batch, device)
    if bf16:
        # Autocast keeps a copy of each matrix until its backward pass.
        parts["bf16 weights"] = 2 * shape.num_layers * shape.layer_weights
    if ranks.zero_stage:
        # What is gathered or reduced at a time: of weights that are shared out, those too.
        moved = shape.num_weights if ranks.zero_stage == 3 else learnt
        copies = _ZERO_ON_CPU if device == "cpu" else 1.0
        most = moved if device == "cpu" else min(moved, _BUCKET)
        parts["buckets"] = int(copies * 4 * most)
    elif ranks.total > 1:
        parts["buckets"] = int(_DDP * 4 * learnt)
    return MemoryEstimate().with_parts(parts)


def estimate_sampling(
    shape: ModelShape,
    *,
    device: str = "cpu",
    trainable: int | None = None,
    reference: bool = False,
    ranks: Ranks | None = None,
) -> MemoryEstimate:
    """What a training process holds while rollouts are sampled; arguments as above."""
    parts = _states(shape, device, trainable, reference, ranks or Ranks())
    return MemoryEstimate().with_parts(parts)


def handed_over(
    shape: ModelShape, *, device: str = "cpu", trainable: int | None, ranks: Ranks
) -> dict[str, int]:
    """Parts that the hand-over of weights to the engine takes, once for all processes.

    Args:
        shape: The model.
        device: Whose memory is looked at.
        trainable: Weights of adapters, which are merged into copies of what they change.
        ranks: How the training is spread.
    """
    parts = {}
    if ranks.zero_stage == 3 and ranks.apart:
        # Gathered, and kept in the machine's memory.
        if device == "cpu":
            parts["gathered weights"] = 4 * shape.num_weights
    elif trainable is not None:
        parts["merged weights"] = 4 * shape.num_layers * shape.layer_weights
    if ranks.apart and device == "cpu":
        parts["handed-over weights"] = 4 * shape.num_weights
    return parts


def driver_parts(device: str) -> dict[str, int]:
    """Parts of the processes beside the ranks (driver and launcher), without the engine."""
    return {"driver": _DRIVER} if device == "cpu" else {}


def _states(
    shape: ModelShape, device: str, trainable: int | None, reference: bool, ranks: Ranks
) -> dict[str, int]:
    """What lies in a training process all the time."""
    weights = shape.num_weights
    learnt = weights if trainable is None else trainable
    share = [ranks.total if ranks.zero_stage >= stage else 1 for stage in range(4)]
    elsewhere = ranks.offload and device != "cpu"
    parts = {
        "program": _PROGRAM[device],
        "weights": 4 * weights // share[3],
        "optimizer": 0 if elsewhere else 8 * learnt // share[1],
    }
    if trainable is not None:
        parts["adapters"] = 4 * learnt // share[3]
    if ranks.zero_stage and not elsewhere:
        parts["optimizer"] += 4 * learnt // ranks.total  # its own flat copy of its part
    if reference and trainable is None:  # else the adapters are turned off for it
        parts["reference"] = 4 * weights // share[3]
    return parts


def estimate_engine(shape: ModelShape, config: EngineConfig, context: int, *, bf16: bool) -> int:
    """Bytes of the engine in this process: its copies of the weights, its keys and values.

    Args:
        shape: The model.
        config: The engine; one of another process takes nothing here.
        context: Longest conversation, in tokens.
        bf16: Whether it computes in bf16.
    """
    if config.kind != "transformers":
        return 0
    width = 2 if bf16 else 4
    return config.num_replicas * width * shape.num_weights + keys_values(
        shape, config.batch_size, context, width
    )


def keys_values(shape: ModelShape, sessions: int, context: int, width: int) -> int:
    """Bytes of the keys and values of so many sessions of full length."""
    return 2 * shape.num_layers * shape.num_kv_heads * shape.head_dim * width * sessions * context
