"""A stage's key changes with everything that its result depends on, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.configuration import Config
from tasks import stage_cache
from tasks.manifest import ArtifactRef
from tasks.stage_cache import code_version, stage_key
from training.config import RlConfig, TrainingConfig


class Section(Config):
    size: int = 1


def key(**changes: Any) -> str:
    given: dict[str, Any] = {
        "stage": "rollout",
        "config": {"a": Section(), "b": {"x": (1, 2.5, None)}},
        "inputs": [ArtifactRef("questions", "d1", "k1", "n1"), "d2"],
        "seed": 1,
        "iteration": 2,
    } | changes
    return stage_key(**given)


def test_equal_inputs_give_equal_keys() -> None:
    assert key() == key(config={"b": {"x": [1, 2.5, None]}, "a": Section()})
    # Where an input was made does not matter, only what it holds.
    assert key() == key(inputs=[ArtifactRef("questions", "d1", "other", "name"), "d2"])
    assert key().startswith("rollout-")


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "sft"},
        {"config": {"a": Section(size=2), "b": {"x": (1, 2.5, None)}}},
        {"inputs": ["d2", "d1"]},
        {"seed": 2},
        {"iteration": 3},
        {"redo": "again"},
    ],
)
def test_every_part_counts(change: dict[str, Any]) -> None:
    assert key(**change) != key()


def test_a_value_without_a_plain_form_is_refused() -> None:
    with pytest.raises(TypeError, match="got PosixPath"):
        key(config={"folder": Path()})


def test_the_key_is_the_same_in_another_process() -> None:
    code = "from tasks.stage_cache import stage_key; print(stage_key('sft', {}, ['d'], 1, 2))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == stage_key("sft", {}, ["d"], 1, 2)


def test_code_versions_follow_the_sources_of_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("agents/a.py", "training/t.py", "evaluation/e.py", "tasks/stage_cache.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(stage_cache, "__file__", str(tmp_path / "tasks" / "stage_cache.py"))

    def versions() -> dict[str, str]:
        code_version.cache_clear()
        return {stage: code_version(stage) for stage in ("rollout", "sft")}

    before = versions()
    (tmp_path / "training/t.py").write_text("x = 2\n")
    after_training = versions()
    (tmp_path / "agents/a.py").write_text("x = 2\n")
    after_agents = versions()
    code_version.cache_clear()
    assert after_training["rollout"] == before["rollout"]
    assert after_training["sft"] != before["sft"]
    assert after_agents["rollout"] != before["rollout"]
    assert after_agents["sft"] != after_training["sft"]


def test_what_only_watches_or_keeps_a_training_is_no_part_of_a_key() -> None:
    changes = {
        "checkpoint_s": None,
        "checkpoint_steps": 1,
        "checkpoints_keep": 5,
        "report_to": ("tensorboard",),
        "report_folder": "elsewhere",
        "peak_tflops": 100.0,
        "memory_check": "off",
    }
    assert TrainingConfig(**changes).that_matters == TrainingConfig().that_matters
    assert set(TrainingConfig().that_matters) == set(TrainingConfig.model_fields) - set(changes)
    evaluated = RlConfig(eval_steps=1, eval_questions=1)
    assert evaluated.that_matters == RlConfig().that_matters
