"""Groups without signal: typed, replaced within a bound, reported, harmless."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_rl import EXACT, Rollouts, parity, train
from test_rollout_groups import by_parity, sampler_of

from agents.errors import BudgetError, StageError
from agents.trajectory import Question, StopReason, Trajectory
from training.config import RlConfig
from training.rewards import Reward
from training.rollout_figures import rollout_figures
from training.rollout_groups import Group, GroupOutcome, RolloutRequest

NONE = Reward(0.0, 0.0, None)
RIGHT, WRONG, MALFORMED = Reward(1.0, 1.0, 1.0), Reward(1.0, 0.0, 0.5), Reward(0.0, 0.0, 0.0)
PARTLY = Reward(1.0, 0.4, 0.7)
QUESTION = Question("q", "?", ("yes",))


@pytest.mark.parametrize(
    ("rewards", "by_reward", "by_answer"),
    [
        ((RIGHT, RIGHT, NONE), "all_right", "all_right"),
        ((WRONG, WRONG), "all_wrong", "all_wrong"),
        ((WRONG, MALFORMED), "mixed", "all_wrong"),
        ((RIGHT, dataclasses.replace(RIGHT, total=0.9, overlong=-0.1)), "mixed", "all_right"),
        ((PARTLY, PARTLY), "all_equal", "all_equal"),
        ((RIGHT, dataclasses.replace(RIGHT, total=1.0 - 1e-9)), "all_right", "all_right"),
        ((RIGHT, WRONG, NONE), "mixed", "mixed"),
        ((NONE, NONE), "all_none", "all_none"),
    ],
)
def test_why_a_group_is_not_mixed(
    rewards: tuple[Reward, ...], by_reward: str, by_answer: str
) -> None:
    assert Group(QUESTION, (), rewards).outcome == GroupOutcome(by_reward)
    assert Group(QUESTION, (), rewards, "answer").outcome == GroupOutcome(by_answer)


def test_attempts_end_at_the_cap_and_what_was_dropped_is_reported() -> None:
    kinds = {"q0": RIGHT, "q1": WRONG, "q2": NONE, "q3": PARTLY}

    def reward(trajectory: Trajectory) -> Reward:
        return kinds.get(trajectory.question_id) or by_parity(trajectory)

    config = RlConfig(prompts_per_step=6, num_generations=2, max_resamples=3)
    chosen, sampled = sampler_of(reward, config, []).groups(1)
    assert 6 < len(sampled) <= 4 * 6
    assert len(chosen) == 6
    figures = rollout_figures(sampled)
    outcomes = [group.outcome for group in sampled]
    dropped = [outcome for outcome in outcomes if outcome is not GroupOutcome.MIXED]
    for outcome in GroupOutcome:
        if outcome is not GroupOutcome.MIXED:
            assert figures[f"groups_{outcome}"] == outcomes.count(outcome)
            assert figures[f"groups_{outcome}"] > 0
    assert figures["groups_sampled"] == len(sampled)
    assert figures["zero_variance_share"] == pytest.approx(len(dropped) / len(sampled))


@pytest.mark.parametrize("kind", [RIGHT, WRONG, NONE])
@pytest.mark.parametrize("advantage", ["none", "group", "batch"])
@pytest.mark.parametrize("prompts", ["mixed", "all"])
def test_a_batch_without_signal_is_harmless_and_finite(
    tiny_policy: Path, tmp_path: Path, kind: Reward, advantage: str, prompts: str
) -> None:
    config = RlConfig.model_validate(
        {
            "num_steps": 1,
            "prompts_per_step": 2,
            "num_generations": 2,
            "learning_rate": 1e-2,
            "advantage": advantage,
            "prompts": prompts,
            "loss": "grpo",
        }
    )
    report, [step], _ = train(
        tiny_policy, tmp_path, Rollouts(tiny_policy), config, reward=lambda _: kind
    )
    assert step.num_mixed_groups == 0
    assert step.metrics["zero_variance_share"] == 1.0
    assert (step.loss, step.grad_norm) == (0.0, 0.0)
    assert all(math.isfinite(value) for value in step.metrics.values())
    assert (step.reward_mean is None) == (kind is NONE)
    before, after = (load_file(f / "model.safetensors") for f in (tiny_policy, report.policy))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_reward_that_raises_is_one_line_that_names_the_trajectory(
    tiny_policy: Path, tmp_path: Path
) -> None:
    def broken(_: Trajectory) -> Reward:
        raise ZeroDivisionError("division by zero")

    config = RlConfig(num_steps=1, prompts_per_step=2, num_generations=2)
    with pytest.raises(StageError, match=r"reward of trajectory q\d-0 .*ZeroDivisionError: div"):
        train(tiny_policy, tmp_path, Rollouts(tiny_policy), config, reward=broken)


def test_errors_of_ours_pass_through_a_reward_and_infinite_rewards_do_not() -> None:
    def paid(_: Trajectory) -> Reward:
        raise BudgetError("the judge's budget is spent")

    config = RlConfig(prompts_per_step=1, num_generations=2)
    with pytest.raises(BudgetError, match="budget is spent"):
        sampler_of(paid, config, []).groups(1)
    for value in (math.nan, math.inf):
        reward = Reward(1.0, 1.0, value)
        with pytest.raises(StageError, match="expected a finite number"):
            sampler_of(lambda _, reward=reward: reward, config, []).groups(1)  # type: ignore[misc]


@pytest.mark.parametrize("kl_coefficient", [0.0, 0.1])
def test_a_question_longer_than_the_context_is_reported_and_not_learnt_from(
    tiny_policy: Path, tmp_path: Path, kl_coefficient: float
) -> None:
    rollouts = Rollouts(tiny_policy)

    def too_long(
        weights: Mapping[str, torch.Tensor], requests: list[RolloutRequest]
    ) -> list[Trajectory]:
        made = rollouts(weights, requests)
        return [
            dataclasses.replace(
                t,
                token_ids=tuple([5] * 5000),
                loss_mask=tuple([0] * 5000),
                logprobs=tuple([0.0] * 5000),
                num_prompt_tokens=5000,
                stop_reason=StopReason.CONTEXT_FULL,
            )
            if t.question_id == "q2"
            else t
            for t in made
        ]

    def reward(trajectory: Trajectory) -> Reward:
        full = trajectory.stop_reason is StopReason.CONTEXT_FULL
        return Reward(0.0, 0.0, 0.0) if full else parity(trajectory)

    steps = {}
    for name, sample in {"long": too_long, "short": rollouts}.items():
        config = RlConfig(
            num_steps=1, prompts_per_step=4, num_generations=4, kl_coefficient=kl_coefficient
        )
        _, [steps[name]], _ = train(tiny_policy, tmp_path / name, sample, config, EXACT, reward)
    assert steps["long"].metrics["too_long_questions"] == 1.0
    assert steps["long"].metrics["context_full_rate"] == 1 / 4
    assert steps["long"].metrics["groups_all_wrong"] == 1.0
    assert steps["short"].metrics["too_long_questions"] == 0.0
    assert math.isfinite(steps["long"].loss)
    assert steps["long"].grad_norm > 0.0


def test_wide_rewards_never_mix_by_rounding() -> None:
    group: Callable[..., Group] = lambda *totals: Group(  # noqa: E731
        QUESTION, (), tuple(Reward(1.0, 1.0, total) for total in totals)
    )
    assert not group(0.1 + 0.2, 0.3).is_mixed
    assert group(0.3, 0.3 + 1e-5).is_mixed
