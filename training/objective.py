"""The RL objective as functions of log-probabilities: GRPO's and DAPO's loss, token by token.

Everything here works on the M sampled tokens of a micro-batch, laid out flat; how they were
computed is `grpo.py`'s business. With π the policy, A a rollout's advantage, m its mask:

    ratio r = π / π_old                         (1 in value where one batch is updated on once)
    token loss = -w · min(r · A, clip(r, 1 - ε_low, 1 + ε_high) · A) + β · k3(π_ref, π)
    dapo: the mean over all sampled tokens of the batch
    grpo: the mean over rollouts of each rollout's mean over its sampled tokens

`importance_sampling` says what becomes of the engine's arithmetic differing from the trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from training.config import RlConfig


@dataclass(frozen=True, slots=True)
class TokenLosses:
    """Of M tokens.

    Attributes:
        values: (M,) losses, differentiable.
        clipped: (M,) whether the ratio's clip took the token's gradient away.
        capped: (M,) whether the engine's correction reached its cap.
        reference_kl: (M,) k3 estimate of the divergence from the reference policy; 0 without one.
    """

    values: torch.Tensor
    clipped: torch.Tensor
    capped: torch.Tensor
    reference_kl: torch.Tensor


def token_losses(
    log_probs: torch.Tensor,
    engine: torch.Tensor,
    advantages: torch.Tensor,
    reference: torch.Tensor | None,
    config: RlConfig,
) -> TokenLosses:
    """The losses of sampled tokens.

    Every batch is updated on once, so the policy that sampled it is the one that is trained: its
    log-probabilities under the trainer are these very ones, detached. No second pass is made.

    Args:
        log_probs: (M,) under the policy, differentiable.
        engine: (M,) as the engine recorded them when it sampled.
        advantages: (M,) of the rollout that each token belongs to.
        reference: (M,) under the reference policy, where there is a KL penalty.
        config: The objective.
    """
    old = engine if config.importance_sampling == "ratio" else log_probs.detach()
    ratio = torch.exp(log_probs - old)
    bounded = ratio.clamp(1.0 - config.epsilon_low, 1.0 + config.epsilon_high)
    values = -torch.minimum(ratio * advantages, bounded * advantages)
    capped = torch.zeros_like(ratio, dtype=torch.bool)
    if config.importance_sampling == "truncated":
        weight = torch.exp(log_probs.detach() - engine)
        capped = weight > config.importance_cap
        values = values * weight.clamp(max=config.importance_cap)
    reference_kl = torch.zeros_like(log_probs)
    if reference is not None:
        gap = reference - log_probs
        reference_kl = gap.expm1() - gap
        values = values + config.kl_coefficient * reference_kl
    low = (ratio < 1.0 - config.epsilon_low) & (advantages < 0)
    high = (ratio > 1.0 + config.epsilon_high) & (advantages > 0)
    return TokenLosses(values, low | high, capped, reference_kl.detach())


@dataclass(frozen=True, slots=True)
class BatchSize:
    """What the losses of a whole batch are divided by, whatever micro-batches it is split into.

    Attributes:
        num_tokens: Sampled tokens that count.
        num_rollouts: Rollouts with at least one of them.
    """

    num_tokens: float
    num_rollouts: float


def batch_share(
    values: torch.Tensor, rows: torch.Tensor, config: RlConfig, batch: BatchSize
) -> torch.Tensor:
    """A micro-batch's share of the batch's loss: the shares of all of them add up to it.

    Args:
        values: (M,) losses of tokens.
        rows: (M,) which rollout each token belongs to; all tokens of one are here.
        config: Names the loss.
        batch: Sizes of the whole batch.
    """
    if config.loss == "dapo":
        return values.sum() / max(1.0, batch.num_tokens)
    lengths = torch.bincount(rows)[rows]
    return (values / lengths).sum() / max(1.0, batch.num_rollouts)


class EngineAgreement:
    """How far the trainer's probabilities of a step's tokens are from the engine's that sampled.

    Attributes:
        sums: Sums over the tokens so far, which add up over ranks.
    """

    def __init__(self) -> None:
        self.sums = dict.fromkeys(("num_tokens", "ratio", "square", "gap", "k3"), 0.0)

    def add(self, log_probs: torch.Tensor, engine: torch.Tensor) -> None:
        """Takes the tokens of a micro-batch."""
        difference = (log_probs.detach() - engine).double()
        ratio = difference.exp()
        self.sums["num_tokens"] += len(difference)
        self.sums["ratio"] += ratio.sum().item()
        self.sums["square"] += ratio.square().sum().item()
        self.sums["gap"] += difference.abs().sum().item()
        self.sums["k3"] += (difference.expm1() - difference).sum().item()


def agreement_figures(sums: Mapping[str, float]) -> dict[str, float]:
    """`ratio_mean`, `ratio_ess`, `engine_kl` and `logprob_gap`; none of no tokens."""
    number, square = sums["num_tokens"], sums["square"]
    if not number:
        return {}
    return {
        "ratio_mean": sums["ratio"] / number,
        # Kish's effective sample size, as a share of the tokens: 1 if all ratios are equal.
        "ratio_ess": sums["ratio"] ** 2 / (number * square) if square else 0.0,
        "engine_kl": sums["k3"] / number,
        "logprob_gap": sums["gap"] / number,
    }
