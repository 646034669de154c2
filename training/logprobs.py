"""Log-probabilities of the loss tokens alone, so that no other token's logits are computed.

The vocabulary's projection is a fifth of a small model's arithmetic and most of its memory; only
a third of a trajectory's tokens were sampled, and only these need it.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from training.packing import Layout

_ROWS = 256
"""Tokens whose logits are held in fp32 at a time."""

_KEPT_ELEMENTS = 1 << 28
"""Most gradient elements kept from forward to backward (0.5 GiB in bf16); else recomputed."""


@dataclass
class TokenScores:
    """Of M loss tokens, under the distribution tempered by the temperature.

    Attributes:
        log_probs: (M,) natural log-probabilities, fp32, differentiable.
        entropy: (M,) entropies of the predicting distributions in nats, not differentiable.
        is_top1: (M,) whether the token was the most likely one, as 0.0 or 1.0.
    """

    log_probs: torch.Tensor
    entropy: torch.Tensor
    is_top1: torch.Tensor


class _LinearLogProbs(torch.autograd.Function):
    """log softmax(hidden · weightᵀ / temperature) at the targets, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        temperature: float,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        log_probs = hidden.new_empty(len(hidden), dtype=torch.float32)
        entropy, is_top1 = torch.empty_like(log_probs), torch.empty_like(log_probs)
        keep = hidden.requires_grad or weight.requires_grad
        keep = keep and len(hidden) * len(weight) <= _KEPT_ELEMENTS
        kept = hidden.new_empty(len(hidden), len(weight)) if keep else None
        for start in range(0, len(hidden), _ROWS):
            rows = slice(start, start + _ROWS)
            logits = (hidden[rows] @ weight.T).float().div_(temperature)
            target = targets[rows, None]
            chosen = logits.gather(1, target)[:, 0]
            is_top1[rows] = (chosen >= logits.amax(1)).float()
            norm = logits.logsumexp(1)
            log_probs[rows] = chosen - norm
            probs = torch.sub(logits, norm[:, None]).exp_()
            entropy[rows] = norm - (probs * logits).sum(1)
            if kept is not None:
                kept[rows] = _gradient(probs, target, temperature)
        ctx.save_for_backward(hidden, weight, targets, kept)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(entropy, is_top1)
        return log_probs, entropy, is_top1

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: torch.Tensor, _entropy: Any, _top1: Any
    ) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        hidden, weight, targets, kept = ctx.saved_tensors
        hidden_grad = torch.empty_like(hidden)
        weight_grad = torch.zeros_like(weight, dtype=torch.float32)
        for start in range(0, len(hidden), _ROWS):
            rows = slice(start, start + _ROWS)
            if kept is not None:
                local = kept[rows]
            else:
                logits = (hidden[rows] @ weight.T).float().div_(ctx.temperature)
                local = _gradient(logits.softmax(1), targets[rows, None], ctx.temperature)
            local = (local * grad[rows, None]).to(hidden.dtype)
            hidden_grad[rows] = local @ weight
            weight_grad += local.T @ hidden[rows]
        return hidden_grad, weight_grad.to(weight.dtype), None, None


def _gradient(probs: torch.Tensor, target: torch.Tensor, temperature: float) -> torch.Tensor:
    """D log p(target) / d logits; overwrites `probs`."""
    gradient = probs.neg_()
    gradient.scatter_add_(1, target, torch.ones_like(target, dtype=gradient.dtype))
    return gradient.div_(temperature)


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
        outputs = _LinearLogProbs.apply(  # type: ignore[no-untyped-call]
            hidden.to(dtype), weight.to(dtype), targets, temperature
        )
    return TokenScores(*outputs)


def add_scoring_forward(model: PreTrainedModel) -> None:
    """Teaches a model's forward to score packed rows: `model(…, layout=, predictors=, targets=)`.

    It is done in forward, not beside it, so that wrappers of the model (mixed precision, data
    parallelism) take part. Without `layout` the forward is the model's own.
    """
    original = model.forward

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
        hidden = self.base_model(*args, layout=layout, use_cache=False, **kwargs)
        head = self.get_output_embeddings()  # type: ignore[no-untyped-call]
        scores = linear_log_probs(
            hidden.last_hidden_state[0, predictors], head.weight, head.bias, targets, temperature
        )
        return vars(scores)

    model.forward = types.MethodType(forward, model)
