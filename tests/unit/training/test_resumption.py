"""A training that was stopped after any step, and goes on, ends in the very same policy."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_rl import QUESTIONS, Rollouts, parity
from test_sft import examples
from transformers import LlamaConfig

from training.checkpoints import Checkpoint, Checkpoints
from training.config import RlConfig, SftConfig, TrainingConfig
from training.reports import StepReport, TrainingReport
from training.rl import train_rl
from training.sft import train_sft

PLAIN = TrainingConfig(precision="fp32", device="cpu", micro_batch_size=2, num_threads=1)
EVERY_STEP = PLAIN.model_copy(update={"checkpoint_s": None, "checkpoint_steps": 1})
SFT = SftConfig(num_epochs=3, batch_size=4, learning_rate=5e-3, warmup_ratio=0.2, weight_decay=0.01)
"""Of 10 examples: three steps an epoch, the last of them with half a batch."""
RL = RlConfig(
    num_steps=4,
    prompts_per_step=2,
    num_generations=4,
    learning_rate=3e-3,
    warmup_steps=2,
    max_resamples=1,
    kl_coefficient=0.1,
)

Train = Callable[[Path, Checkpoints | None], TrainingReport]


class Kept:
    """Keeps every checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_step: dict[int, Checkpoint] = {}

    def save(self, checkpoint: Checkpoint) -> None:
        copy = shutil.copytree(checkpoint.folder, self.folder / str(checkpoint.step))
        self.by_step[checkpoint.step] = dataclasses.replace(checkpoint, folder=copy)


@pytest.fixture(scope="module")
def dropping(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny policy with dropout in it, so that training draws random numbers."""
    folder = shutil.copytree(tiny_policy, tmp_path_factory.mktemp("dropping") / "policy")
    config = LlamaConfig.from_pretrained(folder)
    config.attention_dropout = 0.1
    config.save_pretrained(folder)
    return folder


def sft(policy: Path, training: TrainingConfig = EVERY_STEP) -> Train:
    def train(output: Path, checkpoints: Checkpoints | None) -> TrainingReport:
        seen: list[StepReport] = []
        return train_sft(policy, examples(10), SFT, training, output, 7, seen.append, checkpoints)

    return train


def rl(policy: Path, training: TrainingConfig = EVERY_STEP) -> Train:
    def train(output: Path, checkpoints: Checkpoints | None) -> TrainingReport:
        return train_rl(
            policy, QUESTIONS, Rollouts(policy), parity, lambda _: [1, 2], RL, training, output, 5,
            lambda _: None, lambda *_: None, checkpoints,
        )  # fmt: skip

    return train


def same_weights(one: TrainingReport, other: TrainingReport) -> bool:
    first, second = (load_file(r.policy / "model.safetensors") for r in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


def figures(report: TrainingReport) -> list[tuple[float | None, ...]]:
    """What each step came to, but for the time it took."""
    return [
        (s.step, s.num_steps, s.loss, s.grad_norm, s.learning_rate, s.tokens, s.reward_mean)
        for s in report.steps
    ]


@pytest.mark.parametrize("kind", [sft, rl])
def test_it_goes_on_bit_for_bit_after_every_step(
    kind: Callable[[Path], Train], tiny_policy: Path, tmp_path: Path
) -> None:
    train, kept = kind(tiny_policy), Kept(tmp_path)
    whole = train(tmp_path / "whole", Checkpoints(kept.save))
    num_steps = 9 if kind is sft else 4
    assert sorted(kept.by_step) == list(range(1, num_steps)), "none after the last step"
    plain = train(tmp_path / "plain", None)
    assert same_weights(plain, whole), "taking checkpoints changes nothing"
    for step, checkpoint in kept.by_step.items():
        again = Kept(tmp_path / f"again-{step}")
        resumed = train(tmp_path / f"from-{step}", Checkpoints(again.save, checkpoint))
        assert same_weights(whole, resumed), step
        assert figures(resumed) == figures(whole), step
        assert resumed.num_examples == whole.num_examples
        assert resumed.tokens == whole.tokens
        assert sorted(again.by_step) == list(range(step + 1, num_steps))


def test_random_numbers_go_on_too(tiny_policy: Path, dropping: Path, tmp_path: Path) -> None:
    train, kept = sft(dropping), Kept(tmp_path)
    whole = train(tmp_path / "whole", Checkpoints(kept.save))
    assert not same_weights(whole, sft(tiny_policy)(tmp_path / "without", None))
    for step in (2, 3, 4):  # within an epoch, at its end, at the beginning of the next
        again = Kept(tmp_path / f"again-{step}")
        resumed = train(tmp_path / f"from-{step}", Checkpoints(again.save, kept.by_step[step]))
        assert same_weights(whole, resumed), step


def test_a_resumed_training_can_be_resumed_again(tiny_policy: Path, tmp_path: Path) -> None:
    train = sft(tiny_policy)
    whole = train(tmp_path / "whole", None)
    checkpoint: Checkpoint | None = None
    for start in range(4):
        kept = Kept(tmp_path / f"kept-{start}")
        report = train(tmp_path / f"run-{start}", Checkpoints(kept.save, checkpoint))
        assert same_weights(whole, report)
        checkpoint = kept.by_step[min(kept.by_step) + 1]
    assert checkpoint is not None
    assert checkpoint.step == 8


def test_a_checkpoint_holds_what_resumption_reads_and_nothing_of_the_user(
    tiny_policy: Path, tmp_path: Path
) -> None:
    kept = Kept(tmp_path)
    sft(tiny_policy)(tmp_path / "policy", Checkpoints(kept.save))
    names = {path.name for path in kept.by_step[1].folder.iterdir()}
    assert {
        "model.safetensors",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
    } <= names
    assert {"training_args.bin", "README.md"}.isdisjoint(names)
    assert not (tmp_path / "policy.trainer").exists()


def test_the_clock_alone_takes_none_of_a_short_training(tiny_policy: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    sft(tiny_policy, PLAIN)(tmp_path / "policy", Checkpoints(kept.save))
    assert kept.by_step == {}


def test_costly_checkpoints_are_taken_less_often(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import checkpoints

    kept = Kept(tmp_path)
    always = PLAIN.model_copy(update={"checkpoint_s": 0.0})
    monkeypatch.setattr(checkpoints, "_MAX_SHARE", 1e-9)
    sft(tiny_policy, always)(tmp_path / "policy", Checkpoints(kept.save))
    assert list(kept.by_step) == [1], "the first one's cost is not known before it is taken"
