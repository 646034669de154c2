"""Peak memory of SFT and RL, estimated from a model's sizes before anything is loaded.

The figures are sums over what lies in memory at the worst moment of a step, the beginning of its
backward pass, with the constants of this project's own trainers: fp32 weights, gradients and AdamW
moments, packed rows without padding, logits a tile at a time. docs/memory.md compares them with
measured peaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agents.engines.config import EngineConfig
from training.model_shape import ModelShape

GIB = 1 << 30

_PROGRAM = {"cpu": int(0.45 * GIB), "cuda": int(0.8 * GIB)}
"""Python with torch and its libraries; on an accelerator its context and workspaces."""
_LOGITS = {"cpu": 3 * 4 * (1 << 22), "cuda": 3 * 4 * (1 << 27)}
"""A tile of logits, its softmax and their gradient (`training.logprobs`)."""
_HOLES = 1.1
"""What the allocator takes for blocks of changing size, over their sum (measured)."""
_BUCKET = 500_000_000
"""Most elements that DeepSpeed gathers or reduces at a time."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """How a training is spread over processes.

    Attributes:
        total: Processes in all.
        on_machine: Of these, the ones that share this machine's memory.
        zero_stage: DeepSpeed's stage, 0: every process holds all of it.
        offload: Whether the optimizer's state lies in the machine's memory.
    """

    total: int = 1
    on_machine: int = 1
    zero_stage: int = 0
    offload: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward and backward pass holds at most.

    Attributes:
        tokens: Tokens of the packed row.
        loss_tokens: Those of them with loss.
        num_sequences: Sequences in the row.
        longest: Tokens of the longest sequence.
    """

    tokens: int
    loss_tokens: int
    num_sequences: int
    longest: int


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
        trainable: Weights that are trained (LoRA); None: all.
        reference: Whether a reference model lies beside it (a KL penalty).
        ranks: How it is spread; None: one process.
    """
    ranks = ranks or Ranks()
    weights = shape.num_weights
    learnt = weights if trainable is None else trainable
    share = [ranks.total if ranks.zero_stage >= stage else 1 for stage in range(4)]
    parts = {
        "program": _PROGRAM[device],
        "weights": 4 * weights // share[3],
        "gradients": 4 * learnt // share[2],
        "optimizer": 0 if ranks.offload else 8 * learnt // share[1],
        "activations": _activations(shape, batch, bf16, device, gradient_checkpointing),
        "logits": _logits(shape, batch, device),
    }
    if trainable is not None:
        parts["adapters"] = 4 * learnt
    if bf16:
        # Autocast keeps a copy of each matrix until its backward pass.
        parts["bf16 weights"] = 2 * shape.num_layers * shape.layer_weights
    if ranks.zero_stage:
        # The optimizer's own flat copy of its part, and a bucket on its way.
        parts["optimizer"] += 0 if ranks.offload else 4 * learnt // ranks.total
        parts["buckets"] = 4 * min(learnt, _BUCKET)
    if reference:
        parts["reference"] = 4 * weights // share[3]
    return _sorted(parts)


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


def with_engine(estimate: MemoryEstimate, engine: int) -> MemoryEstimate:
    """An estimate with an engine in the same process."""
    return _sorted({**estimate.parts, "engine": engine})


def largest_batch(
    lengths: Sequence[int], loss_tokens: Sequence[int], size: int, prefix: int
) -> Batch:
    """The batch of the longest sequences, which some step may draw.

    Args:
        lengths: Tokens of each sequence.
        loss_tokens: Tokens with loss of each.
        size: Sequences in one pass.
        prefix: Tokens that all begin with, which a packed row holds once.
    """
    order = sorted(range(len(lengths)), key=lambda index: lengths[index], reverse=True)[:size]
    tokens = sum(lengths[index] for index in order) - prefix * max(0, len(order) - 1)
    return Batch(
        tokens=tokens,
        loss_tokens=sum(sorted(loss_tokens, reverse=True)[:size]),
        num_sequences=len(order),
        longest=max(lengths, default=0),
    )


def _activations(
    shape: ModelShape, batch: Batch, bf16: bool, device: str, checkpointing: bool
) -> int:
    width = 2 if bf16 else 4
    hidden, wide = shape.hidden_size, shape.intermediate_size
    queries = shape.num_heads * shape.head_dim
    # Each of two norms keeps its input and what it made of it in fp32, and the matrices behind it
    # their input: the norm's output in bf16, or in fp32 as it is.
    norms = 2 * hidden * (4 + 4 + width)
    # Rotated queries, keys and values (repeated for all heads that share them), the output, and
    # the same as the next matrix's input.
    attention = width * (4 * queries + 2 * queries)
    feed_forward = width * 4 * wide
    a_layer = int(_HOLES * (norms + attention + feed_forward) * batch.tokens)
    kept = 4 * hidden * batch.tokens if checkpointing else a_layer
    # The layer whose backward pass is under way holds gradients of the same sizes beside.
    return shape.num_layers * kept + (2 if checkpointing else 1) * a_layer


def _logits(shape: ModelShape, batch: Batch, device: str) -> int:
    tile = min(_LOGITS[device], 12 * batch.loss_tokens * shape.vocabulary)
    hidden = 3 * 4 * shape.hidden_size * batch.loss_tokens
    return tile + hidden


def _sorted(parts: Mapping[str, int]) -> MemoryEstimate:
    return MemoryEstimate(dict(sorted(parts.items(), key=lambda part: -part[1])))
