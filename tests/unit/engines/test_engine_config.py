"""What an engine refuses, in one clear line, and what its configuration means."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from agents.engines.config import EngineConfig
from agents.engines.device import choose_device, choose_dtype
from agents.engines.factory import make_engine
from agents.errors import EngineError


def edited(source: Path, folder: Path, **changes: object) -> Path:
    """A copy of a model folder with a changed config.json."""
    shutil.copytree(source, folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "model family 'gpt2'.*expected one of llama, mistral"),
        ({"num_hidden_layers": 4}, r"lack 'model.layers.3.input_layernorm.weight'"),
        (
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "rope type 'dynamic'",
        ),
        ({"max_position_embeddings": 100}, "has 100 positions; lower agents.max_context_tokens"),
    ],
)
def test_models_that_cannot_be_run_are_named(
    model_dirs: dict[str, Path], tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    folder = edited(model_dirs["llama"], tmp_path / "model", **changes)
    with pytest.raises(EngineError, match=message) as caught:
        make_engine(folder, EngineConfig(dtype="float32"), 200)
    assert "\n" not in str(caught.value)


def test_sliding_windows_are_refused(model_dirs: dict[str, Path], tmp_path: Path) -> None:
    changes = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}
    folder = edited(model_dirs["qwen2"], tmp_path / "model", layer_types=None, **changes)
    with pytest.raises(EngineError, match="sliding-window attention"):
        make_engine(folder, EngineConfig(), 200)


def test_missing_and_damaged_weights(model_dirs: dict[str, Path], tmp_path: Path) -> None:
    folder = edited(model_dirs["llama"], tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EngineError, match="cannot read the weights"):
        make_engine(folder, EngineConfig(), 200)
    weights.unlink()
    with pytest.raises(EngineError, match="cannot read the weights"):
        make_engine(folder, EngineConfig(), 200)
    with pytest.raises(EngineError, match="cannot read the model configuration"):
        make_engine(tmp_path / "absent", EngineConfig(), 200)


def test_sharded_weights_are_read(
    model_dirs: dict[str, Path], tmp_path: Path, tiny_model: object
) -> None:
    model = tiny_model("qwen2")  # type: ignore[operator]
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    make_engine(tmp_path, EngineConfig(), 200).close()


def test_precision_and_device_are_resolved() -> None:
    cpu = torch.device("cpu")
    assert choose_dtype(EngineConfig(deterministic=True), cpu) is torch.float32
    assert choose_dtype(EngineConfig(dtype="bfloat16"), cpu) is torch.bfloat16
    assert choose_device("cpu") == cpu
    with pytest.raises(EngineError, match="cannot use device 'warp'"):
        choose_device("warp")
    with pytest.raises(ValidationError, match="deterministic needs dtype float32"):
        EngineConfig(deterministic=True, dtype="bfloat16")


def test_configuration_and_factory_are_free_of_torch() -> None:
    code = "import sys, agents.engines.factory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
