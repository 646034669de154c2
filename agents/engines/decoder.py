"""The forward pass: packed tokens in, hidden states out, keys and values into the pool.

Computes what Transformers' Llama, Mistral, Qwen2 and Qwen3 compute, on one flat batch of tokens
of many sessions: nothing is padded, and every matrix is multiplied once a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.activations import ACT2FN

from agents.engines.attention import (
    DecodePlan,
    PrefillSegment,
    decode_attention,
    plan_segment,
    prefill_attention,
)
from agents.engines.cache import KeyValuePool, index_tensor
from agents.engines.weights import DecoderShape, DecoderWeights, LayerWeights

Attend = Callable[[int, Tensor], Tensor]


class Decoder:
    """A decoder over a pool.

    Args:
        weights: Packed weights.
        shape: Its sizes.
        rotary: Cosine and signed sine of every position.
        pool: Where keys and values lie.
    """

    def __init__(
        self,
        weights: DecoderWeights,
        shape: DecoderShape,
        rotary: tuple[Tensor, Tensor],
        pool: KeyValuePool,
    ) -> None:
        self.weights = weights
        self.shape = shape
        self.pool = pool
        self._cos, self._sin = rotary
        self._activation: Callable[[Tensor], Tensor] = ACT2FN[shape.activation]
        self._scale = shape.head_dim**-0.5

    def decode(self, token_ids: Tensor, plan: DecodePlan) -> Tensor:
        """One token a row: ids (N,) in, hidden states (N, E) after the final norm out."""

        def attend(layer: int, qkv: Tensor) -> Tensor:
            query, key, value = self._split(qkv)
            if plan.write_index is not None:
                key, value = key[plan.write_index], value[plan.write_index]
            self._write(layer, plan.write_rows, key, value)
            return decode_attention(query, self.pool, layer, plan)

        return self._forward(token_ids, plan.positions, attend)

    def prefill(
        self,
        pieces: Sequence[tuple[int, int, Sequence[int]]],
        *,
        pad_to: int | None = None,
    ) -> None:
        """Computes keys and values of new prompt tokens.

        Args:
            pieces: (slot, position of the first token, ids) of each session.
            pad_to: Pads the only piece to this many rows and reads all pages, so that every
                pass has one shape.
        """
        segments: list[PrefillSegment] = []
        token_ids: list[int] = []
        slots: list[int] = []
        positions: list[int] = []
        for slot, start, ids in pieces:
            segments.append(
                plan_segment(
                    self.pool, slot, start, len(token_ids), pad_to or len(ids),
                    self.shape.group_size, constant=pad_to is not None,
                )
            )  # fmt: skip
            token_ids.extend(ids)
            slots.extend([slot] * len(ids))
            positions.extend(range(start, start + len(ids)))
        count = len(token_ids)
        device = self._cos.device
        position_index = index_tensor(positions, device)
        write_rows = self.pool.rows(index_tensor(slots, device), position_index)
        id_index = index_tensor(token_ids, device)
        if pad_to is not None:
            id_index = F.pad(id_index, (0, pad_to - count))
            position_index = F.pad(position_index, (0, pad_to - count))

        def attend(layer: int, qkv: Tensor) -> Tensor:
            query, key, value = self._split(qkv)
            self._write(layer, write_rows, key[:count], value[:count])
            return prefill_attention(query, self.pool, layer, segments)

        self._forward(id_index, position_index, attend)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (N, V) of hidden states (N, E)."""
        return F.linear(hidden, self.weights.lm_head)

    def _forward(self, token_ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        weights, eps = self.weights, self.shape.norm_eps
        cos, sin = self._cos[positions], self._sin[positions]
        hidden = F.embedding(token_ids, weights.embedding)
        for number, layer in enumerate(weights.layers):
            normed = rms_norm(hidden, layer.input_norm, eps)
            qkv = self._project(normed, layer, cos, sin)
            attended = attend(number, qkv).flatten(1)
            hidden = hidden + F.linear(attended, layer.output, layer.output_bias)
            normed = rms_norm(hidden, layer.post_norm, eps)
            gate, up = F.linear(normed, layer.gate_up, layer.gate_up_bias).chunk(2, dim=-1)
            inner = self._activation(gate) * up
            hidden = hidden + F.linear(inner, layer.down, layer.down_bias)
        return rms_norm(hidden, weights.final_norm, eps)

    def _project(self, normed: Tensor, layer: LayerWeights, cos: Tensor, sin: Tensor) -> Tensor:
        """Queries, keys and values (T, H + 2K, D); queries and keys normed and rotated."""
        shape = self.shape
        heads = shape.num_heads + shape.num_kv_heads
        qkv = F.linear(normed, layer.qkv, layer.qkv_bias).view(len(normed), -1, shape.head_dim)
        rotated = qkv[:, :heads]
        if layer.qk_norm is not None:
            rotated = rms_norm(rotated, layer.qk_norm, shape.norm_eps)
        half_turned = rotated.roll(shape.head_dim // 2, dims=-1)
        qkv[:, :heads] = torch.addcmul(rotated * cos, half_turned, sin)
        return qkv

    def _split(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape = self.shape
        keys_end = shape.num_heads + shape.num_kv_heads
        query, key = qkv[:, : shape.num_heads], qkv[:, shape.num_heads : keys_end]
        return query * self._scale, key, qkv[:, keys_end:]

    def _write(self, layer: int, rows: Tensor, key: Tensor, value: Tensor) -> None:
        self.pool.write(layer, rows, key.flatten(0, 1), value.flatten(0, 1))


def rms_norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square norm over the last axis, in float32 (Zhang and Sennrich 2019).

    Torch's own takes up to four times as long on a CPU in bfloat16, over more passes.
    """
    norm = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True, dtype=torch.float32)
    scale = norm.square_().mul_(1 / hidden.shape[-1]).add_(eps).rsqrt_()
    normed: Tensor = (hidden * scale).mul_(weight)
    return normed.to(hidden.dtype)
