"""Memory of one forward and backward pass: the largest batch, its activations and its logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.model_shape import ModelShape

_LOGITS = {"cpu": 3 * 4 * (1 << 22), "cuda": 3 * 4 * (1 << 27)}
"""A tile of logits, its softmax and their gradient (`training.logprobs`)."""
_HOLES, _HOLES_OF_ADAPTERS = 1.1, 1.4
"""What the allocator takes for blocks of changing size, over their sum (measured); adapters make
short-lived copies of every matrix and its input between those that stay."""


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


def activations(
    shape: ModelShape, batch: Batch, *, bf16: bool, checkpointing: bool, adapters: bool
) -> int:
    """Bytes kept for the backward pass at its beginning.

    Args:
        shape: The model.
        batch: What the pass holds.
        bf16: Whether it is computed in bf16.
        checkpointing: Whether activations are computed again.
        adapters: Whether adapters are trained instead of all weights.
    """
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
    holes = _HOLES_OF_ADAPTERS if adapters else _HOLES
    a_layer = int(holes * (norms + attention + feed_forward) * batch.tokens)
    kept = 4 * hidden * batch.tokens if checkpointing else a_layer
    # The layer whose backward pass is under way holds gradients of the same sizes beside.
    return shape.num_layers * kept + (2 if checkpointing else 1) * a_layer


def logits(shape: ModelShape, batch: Batch, device: str) -> int:
    """Bytes of a tile of logits, its softmax and their gradient, and of the hidden states."""
    tile = min(_LOGITS[device], 12 * batch.loss_tokens * shape.vocabulary)
    hidden = 3 * 4 * shape.hidden_size * batch.loss_tokens
    return tile + hidden
