"""Log-probabilities of the loss tokens alone, so that no other token's logits are computed.

The vocabulary's projection is a fifth of a small model's arithmetic and most of its memory; only
a third of a trajectory's tokens were sampled, and only these need it. Their logits exist a tile at
a time, some tokens by some of the vocabulary, small enough for a CPU's cache: forward keeps one
number per token and tile, and backward computes each tile again (what a pass over stored logits
costs in memory traffic is more than a matrix product costs in arithmetic).
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from training.packing import Layout

_TILE_ROWS = 2048
"""Most tokens of a tile."""

_TILE_ELEMENTS = {"cpu": 1 << 22, "cuda": 1 << 27}
"""About how many logits are held at a time, in fp32: 16 MiB fit a CPU's cache."""


@dataclass
class TokenScores:
    """Of M loss tokens, under the distribution tempered by the temperature.

    Attributes:
        log_probs: (M,) natural log-probabilities, fp32, differentiable.
        is_top1: (M,) whether the token was the most likely one, as 0.0 or 1.0.
    """

    log_probs: torch.Tensor
    is_top1: torch.Tensor


class _LinearLogProbs(torch.autograd.Function):
    """log softmax(hidden · weightᵀ) at the targets, tile by tile; weight stays as it is stored."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        log_probs = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        is_top1 = torch.empty_like(log_probs)
        norms = []
        for rows in _row_chunks(hidden):
            target = targets[rows]
            tops, tile_norms = [], []
            chosen = hidden.new_empty(len(target), 1)
            for columns in _column_tiles(hidden, weight):
                logits = hidden[rows] @ weight[columns].to(hidden.dtype).T
                tops.append(logits.amax(1))
                inside, local = _locate(target, columns)
                chosen = torch.where(inside, logits.gather(1, local), chosen)
                logits = logits.float()
                # One fused pass; its difference from the logits is their log-sum-exp.
                tile_norms.append(logits[:, 0] - torch.log_softmax(logits, 1)[:, 0])
            norm = torch.stack(tile_norms)  # (tiles, rows)
            norms.append(norm)
            log_probs[rows] = chosen[:, 0].float() - norm.logsumexp(0)
            is_top1[rows] = (chosen[:, 0] >= torch.stack(tops).amax(0)).float()
        ctx.save_for_backward(hidden, weight, targets, log_probs, *norms)
        ctx.mark_non_differentiable(is_top1)
        return log_probs, is_top1

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: torch.Tensor, _top1: Any
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        hidden, weight, targets, log_probs, *norms = ctx.saved_tensors
        hidden_grad = torch.zeros(hidden.shape, dtype=torch.float32, device=hidden.device)
        # Without any token no chunk would fill it.
        weight_grad = None  # where adapters alone are trained
        if ctx.needs_input_grad[1]:
            weight_grad = torch.empty_like(weight) if len(hidden) else torch.zeros_like(weight)
        # d log p(target) / d logits = one-hot(target) - softmax. The softmax of a tile is that of
        # the whole times exp(norm - tile norm); that factor and `grad` are per token, so they are
        # applied to the hidden states, which are narrower than the logits. The target's own term
        # is left out and added in fp32: 1 - p of a token that is sure would be lost in bf16.
        for index, rows in enumerate(_row_chunks(hidden)):
            shares = norms[index] - norms[index].logsumexp(0)
            scales = -grad[rows] * shares.exp_()  # (tiles, rows)
            for tile, columns in enumerate(_column_tiles(hidden, weight)):
                part = weight[columns].to(hidden.dtype)
                probs = torch.softmax(hidden[rows] @ part.T, 1)
                inside, local = _locate(targets[rows], columns)
                probs.scatter_(1, local, probs.gather(1, local).masked_fill_(inside, 0.0))
                scale = scales[tile][:, None]
                hidden_grad[rows] += scale * (probs @ part)
                if weight_grad is None:
                    continue
                product = probs.T @ (scale * hidden[rows]).to(hidden.dtype)
                if index:
                    weight_grad[columns] += product
                else:
                    weight_grad[columns] = product
        own = -(grad * log_probs.expm1())[:, None]
        hidden_grad += own * weight[targets]
        if weight_grad is not None:
            weight_grad.index_add_(0, targets, (own * hidden).to(weight.dtype))
        return hidden_grad.to(hidden.dtype), weight_grad, None


def _locate(targets: torch.Tensor, columns: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, 1) whether each target lies in the tile, and its column there (else any column)."""
    local = targets[:, None] - columns.start
    last = columns.stop - columns.start - 1
    return (local >= 0) & (local <= last), local.clamp(0, last)


def _row_chunks(hidden: torch.Tensor) -> list[slice]:
    """Slices of the tokens, as equal as can be."""
    chunks = max(1, -(-len(hidden) // _TILE_ROWS))
    size = max(1, -(-len(hidden) // chunks))
    return [slice(start, start + size) for start in range(0, len(hidden), size)]


def _column_tiles(hidden: torch.Tensor, weight: torch.Tensor) -> Iterator[slice]:
    """Slices of the vocabulary, of a multiple of 64 but for the last."""
    rows = min(max(len(hidden), 1), _TILE_ROWS)
    elements = _TILE_ELEMENTS.get(hidden.device.type, _TILE_ELEMENTS["cuda"])
    size = max(64, elements // rows // 64 * 64)
    for start in range(0, len(weight), size):
        yield slice(start, min(start + size, len(weight)))


def linear_log_probs(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    temperature: float = 1.0,
) -> TokenScores:
    """Scores target tokens from the hidden states that predict them.

    Args:
        hidden: (M, D) last hidden states.
        weight: (V, D) of the output embeddings.
        bias: (V,) or None.
        targets: (M,) token ids.
        temperature: Logits are divided by it.
    """
    dtype = (
        torch.get_autocast_dtype(hidden.device.type)
        if torch.is_autocast_enabled(hidden.device.type)
        else weight.dtype
    )
    if bias is not None:  # a bias is one more input that is always 1
        hidden = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], dim=1)
        weight = torch.cat([weight, bias[:, None]], dim=1)
    with torch.autocast(hidden.device.type, enabled=False):
        if temperature != 1.0:
            hidden = hidden / temperature
        outputs = _LinearLogProbs.apply(hidden.to(dtype), weight, targets)  # type: ignore[no-untyped-call]
    return TokenScores(*outputs)


def add_scoring_forward(model: PreTrainedModel) -> None:
    """Teaches a model's forward to score packed rows: `model(…, layout=, predictors=, targets=)`.

    It is done in forward, not beside it, so that wrappers of the model (mixed precision, data
    parallelism) take part. Without `layout` the forward is the model's own.
    """
    original = model.forward
    _add_scoring_head(model.get_output_embeddings())  # type: ignore[no-untyped-call]

    def forward(
        self: PreTrainedModel,
        *args: Any,
        layout: Layout | None = None,
        predictors: torch.Tensor | None = None,
        targets: torch.Tensor | None = None,
        temperature: float = 1.0,
        **kwargs: Any,
    ) -> Any:
        if layout is None:
            return original(*args, **kwargs)
        assert predictors is not None
        assert targets is not None
        # Wrappers (adapters) pass on every argument of a forward by name, most of them None.
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        hidden = self.base_model(*args, layout=layout, use_cache=False, **kwargs)
        head = self.get_output_embeddings()  # type: ignore[no-untyped-call]
        scored = head(hidden.last_hidden_state[0, predictors], targets, temperature)
        return vars(TokenScores(*scored))

    model.forward = types.MethodType(forward, model)


def _add_scoring_head(head: torch.nn.Module) -> None:
    """Teaches the output embeddings to score targets: `head(hidden, targets, temperature)`.

    The weight is read inside the forward of the module it belongs to: there, and in that forward's
    backward pass, DeepSpeed has gathered it where it is shared out over the ranks.
    """
    original = head.forward

    def forward(
        self: Any,
        hidden: torch.Tensor,
        targets: torch.Tensor | None = None,
        temperature: float = 1.0,
    ) -> Any:
        if targets is None:
            return original(hidden)
        scores = linear_log_probs(hidden, self.weight, self.bias, targets, temperature)
        return scores.log_probs, scores.is_top1

    head.forward = types.MethodType(forward, head)
