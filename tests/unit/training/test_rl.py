"""RL steps against a straightforward DAPO loss, on real rollouts of a tiny policy."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from agents.trajectory import Question, StopReason, Trajectory
from training.config import RlConfig, TrainingConfig
from training.reports import StepReport, TrainingReport
from training.rewards import Reward
from training.rl import RolloutRequest, train_rl

TEMPERATURE = 0.7
EXACT = TrainingConfig(precision="fp32", gradient_clip=1e9, device="cpu", micro_batch_size=4)
QUESTIONS = [Question(f"q{i}", f"Question {i}?", ("yes",)) for i in range(4)]


class Rollouts:
    """Samples two short turns with an observation between them, and remembers what it made.

    `drift` is added to recorded logprobs, alternating in sign, as if the engine's arithmetic
    differed from the trainer's.
    """

    def __init__(self, folder: Path, drift: float = 0.0) -> None:
        self.model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32
        )
        self.drift = drift
        self.made: list[Trajectory] = []

    def __call__(
        self, weights: Mapping[str, torch.Tensor], requests: list[RolloutRequest]
    ) -> list[Trajectory]:
        self.model.load_state_dict(dict(weights))
        trajectories = [self._roll_out(request) for request in requests]
        self.made += trajectories
        return trajectories

    def _roll_out(self, request: RolloutRequest) -> Trajectory:
        generator = torch.Generator().manual_seed(request.seed % 2**62)
        number = int(request.question.question_id[1:])
        ids = [1, 2, *range(20, 22 + number)]
        start = len(ids)
        logprobs, mask = [0.0] * start, [0] * start
        for at in range(5 + request.rollout_index % 3):
            if at == 3:
                ids += [30, 31]
                logprobs += [0.0, 0.0]
                mask += [0, 0]
            with torch.no_grad():
                logits = self.model(input_ids=torch.tensor([ids])).logits[0, -1] / TEMPERATURE
            token = int(torch.multinomial(logits.softmax(0), 1, generator=generator))
            ids.append(token)
            logprobs.append(logits.log_softmax(0)[token].item() + self.drift * (-1) ** at)
            mask.append(1)
        failed = request.rollout_index == 3 and number == 0
        return Trajectory(
            f"{request.question.question_id}-{request.rollout_index}",
            request.question.question_id, request.rollout_index, "p", 1, "rl", TEMPERATURE,
            tuple(ids), tuple(mask), tuple(logprobs), start,
            stop_reason=StopReason.DEADLINE if failed else StopReason.ANSWER,
        )  # fmt: skip


def parity(trajectory: Trajectory) -> Reward:
    """Mixed for all questions but q1, where every rollout is right."""
    if trajectory.stop_reason.is_infrastructure:
        return Reward(0.0, 0.0, None)
    right = trajectory.question_id == "q1" or trajectory.rollout_index % 2
    return Reward(1.0, float(right), 1.0 if right else 0.5)


def train(
    folder: Path,
    output: Path,
    rollouts: Callable[..., list[Trajectory]],
    config: RlConfig,
    training: TrainingConfig = EXACT,
    reward: Callable[[Trajectory], Reward] = parity,
) -> tuple[TrainingReport, list[StepReport], list[tuple[int, int]]]:
    reports: list[StepReport] = []
    recorded: list[tuple[int, int]] = []
    report = train_rl(
        folder, QUESTIONS, rollouts, reward, lambda _: [1, 2], config, training, output, 5,
        reports.append,
        lambda step, trajectories, rewards: recorded.append((step, len(trajectories))),
    )  # fmt: skip
    return report, reports, recorded


def reference(
    folder: Path, trajectories: list[Trajectory], leave_out_unmixed: bool
) -> tuple[float, float]:
    """DAPO's loss and the norm of its gradient, token by token."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    total, num_tokens = torch.zeros(()), 0
    for question in QUESTIONS:
        group = [t for t in trajectories if t.question_id == question.question_id]
        scored = [(t, total_) for t in group if (total_ := parity(t).total) is not None]
        mean = sum(value for _, value in scored) / len(scored)
        if leave_out_unmixed and all(value == mean for _, value in scored):
            continue
        for trajectory, value in scored:
            ids = trajectory.token_ids
            logits = model(input_ids=torch.tensor([ids])).logits[0] / TEMPERATURE
            for at in range(1, len(ids)):
                if trajectory.loss_mask[at]:
                    new = logits[at - 1].log_softmax(0)[ids[at]]
                    ratio = (new - trajectory.logprobs[at]).exp()
                    clipped = ratio.clamp(0.8, 1.28)
                    advantage = value - mean
                    total = total - torch.minimum(ratio * advantage, clipped * advantage)
                    num_tokens += 1
    loss = total / num_tokens
    loss.backward()
    norm = torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm()
    return loss.item(), norm.item()


@pytest.mark.parametrize("prompts", ["mixed", "all"])
def test_loss_and_gradient_equal_the_straightforward_ones(
    tiny_policy: Path, tmp_path: Path, prompts: str
) -> None:
    rollouts = Rollouts(tiny_policy, drift=0.3)
    config = RlConfig.model_validate(
        {
            "num_steps": 1,
            "prompts_per_step": 4,
            "num_generations": 4,
            "prompts": prompts,
            "importance_sampling": "ratio",
        }
    )
    _, reports, recorded = train(tiny_policy, tmp_path, rollouts, config)
    loss, norm = reference(tiny_policy, rollouts.made, prompts == "mixed")
    assert reports[0].loss == pytest.approx(loss, rel=1e-4, abs=1e-6)
    assert reports[0].grad_norm == pytest.approx(norm, rel=1e-4)
    assert norm > 0.0
    assert reports[0].num_mixed_groups == 3
    assert reports[0].reward_mean == pytest.approx(12 / 15)  # one of 16 has none
    assert reports[0].metrics["infrastructure_rate"] == pytest.approx(1 / 16)
    assert 0.0 < reports[0].metrics["clip_ratio"] < 1.0
    assert recorded == [(1, 16)]


def test_engine_and_trainer_agree_when_nothing_drifts(tiny_policy: Path, tmp_path: Path) -> None:
    config = RlConfig(num_steps=2, prompts_per_step=2, num_generations=4, learning_rate=1e-3)
    _, reports, _ = train(tiny_policy, tmp_path, Rollouts(tiny_policy), config)
    for report in reports:  # the second step's rollouts are by the updated weights
        assert report.metrics["ratio_mean"] == pytest.approx(1.0, abs=1e-5)
        assert report.metrics["logprob_gap"] < 1e-5
        assert report.metrics["clip_ratio"] == 0.0


def test_learning_raises_the_reward(tiny_policy: Path, tmp_path: Path) -> None:
    def prefers_small_ids(trajectory: Trajectory) -> Reward:
        start = trajectory.num_prompt_tokens
        share = sum(i < 252 for i in trajectory.token_ids[start:]) / (
            len(trajectory.token_ids) - start
        )
        return Reward(1.0, share, share)

    config = RlConfig(num_steps=12, prompts_per_step=4, num_generations=8, learning_rate=5e-3)
    report, reports, _ = train(
        tiny_policy, tmp_path, Rollouts(tiny_policy), config, reward=prefers_small_ids
    )
    means = [r.reward_mean or 0.0 for r in reports]
    assert sum(means[-3:]) / 3 > sum(means[:3]) / 3 + 0.1
    assert report.num_steps == 12
    assert report.num_examples == 12 * 32


def test_steps_without_a_mixed_group_leave_the_policy_alone(
    tiny_policy: Path, tmp_path: Path
) -> None:
    config = RlConfig(num_steps=2, prompts_per_step=2, num_generations=4, learning_rate=1e-2)
    report, reports, _ = train(
        tiny_policy, tmp_path, Rollouts(tiny_policy), config, reward=lambda _: Reward(1, 1, 1)
    )
    assert [r.num_mixed_groups for r in reports] == [0, 0]
    before, after = (load_file(f / "model.safetensors") for f in (tiny_policy, report.policy))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_failures_without_any_token_still_have_a_place(tiny_policy: Path, tmp_path: Path) -> None:
    rollouts = Rollouts(tiny_policy)

    def some_fail(
        weights: Mapping[str, torch.Tensor], requests: list[RolloutRequest]
    ) -> list[Trajectory]:
        made = rollouts(weights, requests)
        empty = Trajectory(
            "x", made[0].question_id, made[0].rollout_index, "p", 1, "rl", TEMPERATURE,
            (), (), (), 0, stop_reason=StopReason.ENGINE_ERROR, error="gone",
        )  # fmt: skip
        return [empty, *made[1:]]

    config = RlConfig(num_steps=1, prompts_per_step=2, num_generations=4)
    _, reports, _ = train(tiny_policy, tmp_path, some_fail, config)
    assert reports[0].metrics["infrastructure_rate"] >= 1 / 8


def test_a_kl_penalty_pulls_back_and_group_scaling_changes_the_step(
    tiny_policy: Path, tmp_path: Path
) -> None:
    norms = {}
    for name, changes in {
        "plain": {},
        "scaled": {"advantage": "group"},
        "penalty": {"kl_coefficient": 0.5},
    }.items():
        config = RlConfig.model_validate(
            {"num_steps": 2, "prompts_per_step": 2, "num_generations": 4, "learning_rate": 3e-3}
            | changes
        )
        _, reports, _ = train(tiny_policy, tmp_path / name, Rollouts(tiny_policy), config)
        norms[name] = [report.grad_norm for report in reports]
    assert norms["scaled"][0] > 1.5 * norms["plain"][0]
    # At the first step policy and reference are equal, so the penalty has no gradient yet.
    assert norms["penalty"][0] == pytest.approx(norms["plain"][0], rel=1e-4)
    assert norms["penalty"][1] != pytest.approx(norms["plain"][1], rel=1e-3)
