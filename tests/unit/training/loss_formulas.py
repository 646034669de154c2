"""The losses of SFT and RL as plain loops: one sequence, one token at a time.

Nothing of `training` takes part: logits are the unchanged model's own, of one unpacked sequence.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

Gradients = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Rollout:
    """A rollout as the formulas see it; its reward is None if the infrastructure failed."""

    question: str
    ids: Sequence[int]
    mask: Sequence[int]
    engine: Sequence[float]
    reward: float | None


@dataclass(frozen=True)
class Formula:
    """Which loss; the defaults are DAPO's."""

    loss: str = "dapo"
    importance: str = "truncated"
    cap: float = 2.0
    low: float = 0.2
    high: float = 0.28
    beta: float = 0.0
    advantage: str = "none"
    only_mixed: bool = True


def plain_model(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


def token_log_probs(
    model: PreTrainedModel, ids: Sequence[int], temperature: float
) -> list[torch.Tensor]:
    """Log-probability of each token but the first, given those before it."""
    logits = model(input_ids=torch.tensor([list(ids)])).logits[0] / temperature
    return [logits[at - 1].log_softmax(0)[ids[at]] for at in range(1, len(ids))]


def gradients(model: PreTrainedModel, loss: torch.Tensor) -> Gradients:
    model.zero_grad()
    loss.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


def sft_loss(
    model: PreTrainedModel, batch: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> torch.Tensor:
    """Mean over all action tokens of the batch of -log p."""
    losses = []
    for ids, mask in batch:
        log_probs = token_log_probs(model, ids, 1.0)
        losses += [-log_probs[at - 1] for at in range(1, len(ids)) if mask[at]]
    return torch.stack(losses).mean()


def advantages(rollouts: Sequence[Rollout], formula: Formula) -> list[float | None]:
    """Reward minus the group's mean, over a deviation; None where there is none."""
    scored = [r.reward for r in rollouts if r.reward is not None]
    found: list[float | None] = []
    for rollout in rollouts:
        group = [r.reward for r in rollouts if r.question == rollout.question]
        rewards = [reward for reward in group if reward is not None]
        mixed = bool(rewards) and max(rewards) - min(rewards) > 1e-6
        if rollout.reward is None or (formula.only_mixed and not mixed):
            found.append(None)
            continue
        advantage = rollout.reward - statistics.fmean(rewards)
        if formula.advantage != "none":
            over = rewards if formula.advantage == "group" else scored
            advantage /= statistics.stdev(over) + 1e-4
        found.append(advantage)
    return found


def rl_loss(
    model: PreTrainedModel,
    reference: PreTrainedModel,
    rollouts: Sequence[Rollout],
    formula: Formula,
    temperature: float,
) -> torch.Tensor:
    """The loss of one batch that is updated on once."""
    per_rollout = []
    for rollout, advantage in zip(rollouts, advantages(rollouts, formula), strict=True):
        if advantage is None:
            continue
        log_probs = token_log_probs(model, rollout.ids, temperature)
        with torch.no_grad():
            anchors = token_log_probs(reference, rollout.ids, temperature)
        losses = []
        for at in range(1, len(rollout.ids)):
            if not rollout.mask[at]:
                continue
            new, engine = log_probs[at - 1], rollout.engine[at]
            before = new.item()
            old = engine if formula.importance == "ratio" else before
            ratio = torch.exp(new - old)
            bounded = min(max(ratio.item(), 1 - formula.low), 1 + formula.high)
            if ratio.item() * advantage <= bounded * advantage:
                gain = ratio * advantage
            else:
                gain = torch.tensor(bounded * advantage)
            if formula.importance == "truncated":
                gain = gain * min(torch.tensor(before - engine).exp().item(), formula.cap)
            gap = anchors[at - 1] - new
            losses.append(-gain + formula.beta * (gap.exp() - gap - 1))
        if losses:
            per_rollout.append(losses)
    if formula.loss == "grpo":
        return torch.stack([torch.stack(losses).mean() for losses in per_rollout]).mean()
    return torch.stack([loss for losses in per_rollout for loss in losses]).mean()
