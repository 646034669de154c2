"""A loss that is no number ends SFT and RL with one line that names the setting to change."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_rl import QUESTIONS, Rollouts, parity
from test_sft import EXACT, examples

from agents.errors import DivergedError
from agents.trajectory import Trajectory
from training.config import RlConfig, SftConfig
from training.reports import StepReport
from training.rl import RolloutRequest, train_rl
from training.sft import train_sft


@pytest.fixture
def spoilt(tiny_policy: Path, tmp_path: Path) -> Path:
    """The tiny policy with one weight that is no number."""
    folder = shutil.copytree(tiny_policy, tmp_path / "spoilt")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_sft(spoilt: Path, tmp_path: Path) -> None:
    steps: list[StepReport] = []
    with pytest.raises(DivergedError, match=r"SFT loss became nan at step 1: lower sft\.learning"):
        train_sft(spoilt, examples(4), SftConfig(), EXACT, tmp_path / "out", 1, steps.append)
    assert steps == []
    assert [path.name for path in tmp_path.iterdir()] == ["spoilt"], "no policy is left"


def test_rl(tiny_policy: Path, spoilt: Path, tmp_path: Path) -> None:
    sane = Rollouts(tiny_policy)

    def sample(
        weights: Mapping[str, torch.Tensor], requests: list[RolloutRequest]
    ) -> list[Trajectory]:
        assert any(weight.isnan().any() for weight in weights.values())
        return sane(sane.model.state_dict(), requests)

    config = RlConfig(num_steps=2, prompts_per_step=2, num_generations=4)
    steps: list[StepReport] = []
    with pytest.raises(DivergedError, match=r"RL loss became nan at step 1: lower rl\.learning"):
        train_rl(
            spoilt, QUESTIONS, sample, parity, lambda _: [1, 2], config, EXACT,
            tmp_path / "out", 5, steps.append, lambda *_: None,
        )  # fmt: skip
    assert steps == []
    assert [path.name for path in tmp_path.iterdir()] == ["spoilt"], "no policy is left"
