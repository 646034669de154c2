"""A policy to train is there whole, or the error says what of it is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from agents.errors import UsageError
from training.policy_folder import load_policy


@pytest.fixture(scope="module")
def in_shards(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny policy in many files of weights."""
    folder = shutil.copytree(tiny_policy, tmp_path_factory.mktemp("shards") / "policy")
    (folder / "model.safetensors").unlink()
    model = AutoModelForCausalLM.from_pretrained(tiny_policy, dtype=torch.float32)
    model.save_pretrained(folder, max_shard_size="100KB")
    return folder


def second_shard(folder: Path) -> Path:
    return sorted(folder.glob("model-*.safetensors"))[1]


def cut(folder: Path) -> None:
    shard = second_shard(folder)
    shard.write_bytes(shard.read_bytes()[:100])


def drop_a_matrix(folder: Path) -> None:
    shard = second_shard(folder)
    weights = load_file(shard)
    weights.pop(sorted(weights)[0])
    save_file(weights, shard, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: second_shard(folder).unlink(), r"cannot load .*model-00002-of-\d+\.safe"),
        (cut, r"cannot load the model in .*header"),
        (drop_a_matrix, r"lacks 1 of its weights, such as model\.layers\.\d+\..*weight: fetch"),
    ],
    ids=["missing", "cut", "incomplete"],
)
def test_a_shard_that_is_missing_or_damaged_is_one_clear_error(
    in_shards: Path, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    folder = shutil.copytree(in_shards, tmp_path / "policy")
    load_policy(folder)
    damage(folder)
    with pytest.raises(UsageError, match=words) as caught:
        load_policy(folder)
    assert "\n" not in str(caught.value)
