"""Two real ranks (gloo, DDP and DeepSpeed's ZeRO) come to what one process comes to."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_rl import QUESTIONS, Rollouts, parity
from test_sft import examples, reference

from agents.errors import UsageError
from training.config import RlConfig, SftConfig, TrainingConfig
from training.launch.deepspeed_settings import CONFIGS
from training.reports import TrainingReport
from training.rewards import Reward
from training.rl import train_rl
from training.sft import train_sft

pytestmark = pytest.mark.slow

SFT = SftConfig(num_epochs=2, batch_size=4, learning_rate=5e-3, warmup_ratio=0.2, weight_decay=0.01)
"""Of 10 examples: three steps an epoch, the last of them with half a batch."""
RL = RlConfig(
    num_steps=3,
    prompts_per_step=2,
    num_generations=4,
    learning_rate=3e-3,
    warmup_steps=2,
    max_resamples=1,
)


LORA = {"lora": {"enabled": True, "rank": 4, "alpha": 8.0}}


def settings(num_processes: int, deepspeed: str = "off", **changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "precision": "fp32",
            "device": "cpu",
            "micro_batch_size": 1,
            "num_threads": 1,
            "launch": {"num_processes": num_processes, "timeout_s": 120.0, "start_s": 300.0},
            "deepspeed": deepspeed,
            **changes,
        }
    )


@pytest.fixture(scope="session")
def everything_shared_out(tmp_path_factory: pytest.TempPathFactory) -> str:
    """ZeRO-3 that shares out even the smallest matrix: the shipped one leaves those of up to
    100,000 elements whole, which is all that a tiny policy has."""
    document = json.loads((CONFIGS / "zero3.json").read_text())
    document["zero_optimization"] |= {
        "stage3_param_persistence_threshold": 0,
        "overlap_comm": False,
    }
    path = tmp_path_factory.mktemp("deepspeed") / "zero3.json"
    path.write_text(json.dumps(document))
    return str(path)


def sft(policy: Path, output: Path, training: TrainingConfig) -> TrainingReport:
    return train_sft(policy, examples(10), SFT, training, output, 7, lambda _: None)


def rl(
    policy: Path,
    output: Path,
    training: TrainingConfig,
    config: RlConfig = RL,
    reward: Any = parity,
) -> tuple[TrainingReport, Rollouts]:
    rollouts = Rollouts(policy)
    report = train_rl(
        policy, QUESTIONS, rollouts, reward, lambda _: [1, 2], config, training, output, 5,
        lambda _: None, lambda *_: None,
    )  # fmt: skip
    return report, rollouts


def assert_same_steps(report: TrainingReport, alone: TrainingReport) -> None:
    assert len(report.steps) == len(alone.steps)
    for step, other in zip(report.steps, alone.steps, strict=True):
        assert step.loss == pytest.approx(other.loss, rel=1e-4, abs=1e-6)
        assert step.grad_norm == pytest.approx(other.grad_norm, rel=1e-4)
        assert step.learning_rate == other.learning_rate
        assert step.tokens == other.tokens
        timings = {"rollout_s"}
        assert step.metrics.keys() - timings == other.metrics.keys() - timings
        for name in step.metrics.keys() - timings - {"logprob_gap"}:
            assert step.metrics[name] == pytest.approx(other.metrics[name], rel=1e-4), name
    assert report.num_examples == alone.num_examples


def assert_same_policy(report: TrainingReport, alone: TrainingReport) -> None:
    """The weights agree to what AdamW makes of rounding: a share of one step's length."""
    first, second = (load_file(r.policy / "model.safetensors") for r in (report, alone))
    assert first.keys() == second.keys()
    for name, weight in first.items():
        assert weight.dtype == torch.float32
        assert torch.allclose(weight, second[name], atol=2e-4), name
    assert sorted(p.name for p in report.policy.iterdir()) == sorted(
        p.name for p in alone.policy.iterdir()
    )


@pytest.mark.parametrize("deepspeed", ["off", "zero1", "zero2", "zero3", "zero3-offload"])
def test_sft_losses_of_two_deepspeed_ranks_are_those_of_one_process(
    tiny_policy: Path, tmp_path: Path, deepspeed: str, everything_shared_out: str
) -> None:
    alone = sft(tiny_policy, tmp_path / "alone", settings(1))
    named = everything_shared_out if deepspeed == "zero3" else deepspeed
    ranks = sft(tiny_policy, tmp_path / "ranks", settings(2, named))
    assert_same_steps(ranks, alone)
    assert_same_policy(ranks, alone)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alone", "ranks"], "nothing is left"


@pytest.mark.parametrize(
    ("deepspeed", "more"),
    [
        ("off", {}),
        ("zero1", {}),
        ("zero2", {}),
        ("zero3", {}),
        ("zero3-offload", {}),
        ("off", LORA),
        ("zero3", LORA),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "all",
)
def test_rl_losses_of_two_deepspeed_ranks_are_those_of_one_process(
    tiny_policy: Path,
    tmp_path: Path,
    deepspeed: str,
    more: dict[str, Any],
    everything_shared_out: str,
) -> None:
    alone, first = rl(tiny_policy, tmp_path / "alone", settings(1, **more))
    named = everything_shared_out if deepspeed == "zero3" else deepspeed
    ranks, second = rl(tiny_policy, tmp_path / "ranks", settings(2, named, **more))
    assert [t.token_ids for t in first.made] == [t.token_ids for t in second.made]
    assert_same_steps(ranks, alone)
    assert_same_policy(ranks, alone)


@pytest.mark.parametrize(
    ("deepspeed", "more"),
    [("zero1", LORA), ("zero2-offload", {"gradient_checkpointing": True})],
    ids=["zero1-lora", "zero2-offload-checkpointing"],
)
def test_rl_in_bf16_on_two_deepspeed_ranks_is_near_one_process(
    tiny_policy: Path, tmp_path: Path, deepspeed: str, more: dict[str, Any]
) -> None:
    more = {"precision": "bf16", **more}
    alone, first = rl(tiny_policy, tmp_path / "alone", settings(1, **more))
    ranks, second = rl(tiny_policy, tmp_path / "ranks", settings(2, deepspeed, **more))
    assert ranks.precision == "bf16"
    assert [step.step for step in ranks.steps] == [step.step for step in alone.steps]
    # Later steps sample with weights that differ in their last digits, and so other tokens.
    one = RL.prompts_per_step * RL.num_generations
    assert [t.token_ids for t in first.made[:one]] == [t.token_ids for t in second.made[:one]]
    step, other = ranks.steps[0], alone.steps[0]
    assert step.loss == pytest.approx(other.loss, abs=2e-3)
    for name in ("ratio_mean", "loss_tokens", "trained_tokens"):
        assert step.metrics[name] == pytest.approx(other.metrics[name], rel=1e-2), name
    assert step.grad_norm == pytest.approx(other.grad_norm, rel=2e-2)
    for step in ranks.steps:
        assert math.isfinite(step.loss)
        assert step.grad_norm > 0.0
    before, after = (
        load_file(folder / "model.safetensors") for folder in (tiny_policy, ranks.policy)
    )
    assert all(torch.isfinite(weight).all() for weight in after.values())
    assert any(not torch.equal(weight, before[name]) for name, weight in after.items())


def test_rl_with_a_kl_penalty_is_the_same_on_two_deepspeed_ranks(
    tiny_policy: Path, tmp_path: Path, everything_shared_out: str
) -> None:
    config = RL.model_copy(update={"kl_coefficient": 0.5})
    alone, _ = rl(tiny_policy, tmp_path / "alone", settings(1), config)
    ranks, _ = rl(tiny_policy, tmp_path / "ranks", settings(2, everything_shared_out), config)
    assert_same_steps(ranks, alone)


def parity_on_two_questions(trajectory: Any) -> Reward:
    """Unequal rewards where the first step needs them, equal ones ever after."""
    early = trajectory.rollout_index < RL.num_generations
    return parity(trajectory) if early else Reward(1, 1, 1)


@pytest.mark.parametrize("deepspeed", ["off", "zero2"])
def test_a_step_without_anything_to_learn_leaves_deepspeed_ranks_in_step(
    tiny_policy: Path, tmp_path: Path, deepspeed: str
) -> None:
    config = RL.model_copy(update={"num_steps": 4, "max_resamples": 0})
    alone, _ = rl(tiny_policy, tmp_path / "a", settings(1), config, parity_on_two_questions)
    ranks, _ = rl(
        tiny_policy, tmp_path / "r", settings(2, deepspeed), config, parity_on_two_questions
    )
    assert 0 in [step.num_mixed_groups for step in alone.steps], "some step teaches nothing"
    assert any(step.num_mixed_groups for step in alone.steps), "and some does"
    assert_same_steps(ranks, alone)
    assert_same_policy(ranks, alone)


@pytest.mark.parametrize("deepspeed", ["off", "zero3"])
def test_adapters_of_two_deepspeed_ranks_are_merged_into_a_plain_policy(
    tiny_policy: Path, tmp_path: Path, deepspeed: str, everything_shared_out: str
) -> None:
    named = everything_shared_out if deepspeed == "zero3" else deepspeed
    alone = sft(tiny_policy, tmp_path / "alone", settings(1, **LORA))
    ranks = sft(tiny_policy, tmp_path / "ranks", settings(2, named, **LORA))
    assert_same_steps(ranks, alone)
    assert_same_policy(ranks, alone)
    before, after = (reference(folder, examples(10))[0] for folder in (tiny_policy, ranks.policy))
    assert after < before - 0.1, "what the adapters learnt is in the plain weights"


def test_bf16_and_checkpointed_gradients_work_on_deepspeed_ranks(
    tiny_policy: Path, tmp_path: Path, everything_shared_out: str
) -> None:
    alone = sft(tiny_policy, tmp_path / "alone", settings(1, precision="bf16"))
    ranks = sft(
        tiny_policy,
        tmp_path / "ranks",
        settings(2, everything_shared_out, precision="bf16", gradient_checkpointing=True),
    )
    assert ranks.precision == "bf16"
    for step, other in zip(ranks.steps, alone.steps, strict=True):
        assert step.loss == pytest.approx(other.loss, rel=2e-3)


def test_batches_that_ranks_cannot_share_are_one_clear_error(
    tiny_policy: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"sft\.batch_size is 4 sequences, which 3 ranks cannot"):
        sft(tiny_policy, tmp_path, settings(3))
    with pytest.raises(UsageError, match=r"rl\.prompts_per_step x rl\.num_generations is 8"):
        rl(tiny_policy, tmp_path, settings(3))
