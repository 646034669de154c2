"""Losses and gradients of real trainer steps against the formulas written as plain loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from loss_formulas import Formula, Gradients, Rollout, gradients, plain_model, rl_loss, sft_loss
from test_rl import EXACT, TEMPERATURE, Rollouts, parity, train
from test_sft import examples

from agents.trajectory import Trajectory
from training import sft_trainer
from training.config import RlConfig, SftConfig
from training.grpo import PackedGrpoTrainer
from training.reports import StepReport
from training.rewards import Reward
from training.rl import RolloutRequest
from training.sft import Example, train_sft

DRIFT = 0.9
"""Nats by which the engine's log-probabilities are off, up and down: its ratio passes the cap."""


@pytest.fixture
def seen_gradients(monkeypatch: pytest.MonkeyPatch) -> list[Gradients]:
    """The accumulated gradients after each backward pass of a trainer."""
    seen: list[Gradients] = []

    def watch(trainer: Any) -> None:
        original = trainer.training_step

        def training_step(self: Any, model: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            loss = original(self, model, *args, **kwargs)
            seen.append(
                {
                    name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
                    for name, p in model.named_parameters()
                }
            )
            return loss

        monkeypatch.setattr(trainer, "training_step", training_step)

    watch(PackedGrpoTrainer)
    watch(sft_trainer.PackedSftTrainer)
    return seen


class RememberedRollouts(Rollouts):
    """Remembers the weights and the rollouts of each step."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, drift=DRIFT)
        self.steps: list[tuple[dict[str, torch.Tensor], list[Trajectory]]] = []

    def __call__(
        self, weights: Mapping[str, torch.Tensor], requests: list[RolloutRequest]
    ) -> list[Trajectory]:
        made = super().__call__(weights, requests)
        copied = {name: value.detach().clone() for name, value in weights.items()}
        self.steps.append((copied, made))
        return made


def assert_same_gradients(found: Gradients, expected: Gradients) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-5), name
    norm = torch.stack([g.norm() for g in expected.values()]).norm().item()
    off = torch.stack([(found[n] - g).norm() for n, g in expected.items()]).norm().item()
    assert norm > 1e-3
    assert off < 1e-5 * max(1.0, norm)


def check_rl(
    folder: Path,
    output: Path,
    seen: list[Gradients],
    changes: Mapping[str, Any],
    micro_batch: int = 4,
    reward: Callable[[Trajectory], Reward] = parity,
) -> list[StepReport]:
    """Two real steps, the second with a policy that has left its reference, by the formula."""
    config = RlConfig.model_validate(
        {"num_steps": 2, "prompts_per_step": 4, "num_generations": 4, "learning_rate": 2e-3}
        | changes
    )
    rollouts = RememberedRollouts(folder)
    training = EXACT.model_copy(update={"micro_batch_size": micro_batch})
    _, reports, _ = train(folder, output, rollouts, config, training, reward)
    formula = Formula(
        loss=config.loss,
        importance=config.importance_sampling,
        cap=config.importance_cap,
        low=config.epsilon_low,
        high=config.epsilon_high,
        beta=config.kl_coefficient,
        advantage=config.advantage,
        only_mixed=config.prompts == "mixed",
    )
    reference, model = plain_model(folder), plain_model(folder)
    passes = 16 // micro_batch
    assert len(seen) == 2 * passes
    for step, (weights, made) in enumerate(rollouts.steps):
        model.load_state_dict(weights)
        batch = [
            Rollout(t.question_id, t.token_ids, t.loss_mask, t.logprobs, reward(t).total)
            for t in made
        ]
        assert any(0 in t.loss_mask[t.num_prompt_tokens :] for t in made)  # observations inside
        loss = rl_loss(model, reference, batch, formula, TEMPERATURE)
        assert reports[step].loss == pytest.approx(loss.item(), abs=1e-5)
        assert_same_gradients(seen[(step + 1) * passes - 1], gradients(model, loss))
    return reports


CASES: dict[str, dict[str, Any]] = {
    "dapo: token mean over the batch, truncated weights of cap 2, no KL": {},
    "dapo with cap 1.2": {"importance_cap": 1.2},
    "dapo without correction": {"importance_sampling": "none"},
    "dapo, clipped ratio over the engine": {"importance_sampling": "ratio"},
    "dapo, ratio with other clips": {
        "importance_sampling": "ratio",
        "epsilon_low": 0.05,
        "epsilon_high": 1.5,
    },
    "dapo, unmixed groups counted": {"prompts": "all"},
    "dapo with KL": {"kl_coefficient": 0.3},
    "dapo, advantage over the group's deviation": {"advantage": "group"},
    "dapo, advantage over the batch's deviation": {"advantage": "batch"},
    "grpo: mean over rollouts of their means": {"loss": "grpo"},
    "grpo, clipped ratio, group advantage, KL, unmixed counted": {
        "loss": "grpo",
        "importance_sampling": "ratio",
        "advantage": "group",
        "kl_coefficient": 0.1,
        "prompts": "all",
    },
    "grpo, batch advantage": {"loss": "grpo", "advantage": "batch"},
}


@pytest.mark.parametrize("case", CASES)
def test_rl_formula(
    tiny_policy: Path, tmp_path: Path, seen_gradients: list[Gradients], case: str
) -> None:
    """Loss and gradients of two steps: unmixed groups, a None reward, observations masked."""
    reports = check_rl(tiny_policy, tmp_path, seen_gradients, CASES[case])
    if CASES[case].get("kl_coefficient"):
        assert reports[0].metrics["reference_kl"] == pytest.approx(0.0, abs=1e-6)
        assert reports[1].metrics["reference_kl"] > 1e-4
    capped = "cap" in case
    assert (reports[0].metrics.get("importance_capped", 0.0) > 0.0) == (
        capped or CASES[case].get("importance_sampling", "truncated") == "truncated"
    )
    clipped = CASES[case].get("importance_sampling") == "ratio"
    assert (reports[0].metrics["clip_ratio"] > 0.0) == clipped


@pytest.mark.parametrize("loss", ["dapo", "grpo"])
@pytest.mark.parametrize("micro_batch", [1, 2, 16])
def test_rl_formula_holds_for_every_split_into_micro_batches(
    tiny_policy: Path,
    tmp_path: Path,
    seen_gradients: list[Gradients],
    loss: str,
    micro_batch: int,
) -> None:
    """The loss is divided by the whole batch's size, in passes of 1, 2 and 16 rollouts."""
    check_rl(tiny_policy, tmp_path, seen_gradients, {"loss": loss}, micro_batch)


def test_rl_formula_with_many_none_rewards_and_uneven_ones(
    tiny_policy: Path, tmp_path: Path, seen_gradients: list[Gradients]
) -> None:
    """None in several groups, one group of nothing else, rewards of F1's kind."""

    def uneven(trajectory: Trajectory) -> Reward:
        number = int(trajectory.question_id[1:])
        if number == 3 or (trajectory.rollout_index + number) % 4 == 0:
            return Reward(0.0, 0.0, None)
        value = (trajectory.rollout_index * 7 + number) % 5 / 5
        return Reward(1.0, value, value)

    changes = {"advantage": "group", "loss": "grpo"}
    [first, _] = check_rl(tiny_policy, tmp_path, seen_gradients, changes, reward=uneven)
    assert first.metrics["groups_all_none"] == 1


@pytest.mark.parametrize("micro_batch", [6, 3, 2, 1])
def test_sft_formula(
    tiny_policy: Path, tmp_path: Path, seen_gradients: list[Gradients], micro_batch: int
) -> None:
    """Mean of -log p over action tokens: loss and gradients, in passes of 6, 3, 2 and 1."""
    batch = examples(6, seed=3)
    whole = batch[0]
    batch[0] = Example(
        whole.token_ids, [*whole.loss_mask[:9], 1, *[0] * (len(whole.loss_mask) - 10)]
    )
    reports: list[StepReport] = []
    train_sft(
        tiny_policy,
        batch,
        SftConfig(batch_size=6, num_epochs=1, warmup_ratio=0.0),
        EXACT.model_copy(update={"micro_batch_size": micro_batch}),
        tmp_path,
        seed=1,
        on_step=reports.append,
    )
    model = plain_model(tiny_policy)
    loss = sft_loss(model, [(example.token_ids, example.loss_mask) for example in batch])
    assert reports[0].loss == pytest.approx(loss.item(), abs=1e-5)
    assert_same_gradients(seen_gradients[-1], gradients(model, loss))
