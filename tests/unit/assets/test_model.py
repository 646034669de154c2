"""A model's name becomes a folder that can be loaded, or one clear line says why not."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from agents.assets.hub_errors import transport_error
from agents.assets.model import BUNDLED_MODEL, check_model_folder, ensure_model
from agents.errors import AssetError, UsageError


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    save_file({"weight": np.zeros((2, 2), np.float32)}, folder / "model.safetensors")
    return folder


def refused(name: Path | str) -> str:
    with pytest.raises(UsageError) as caught:
        ensure_model(str(name))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_local_folder_is_taken_as_it_is(model, monkeypatch):
    assert ensure_model(str(model)) == model
    monkeypatch.chdir(model.parent)
    assert ensure_model("model") == model


def test_a_missing_folder_is_named(tmp_path):
    assert str(tmp_path / "absent") in refused(tmp_path / "absent")
    assert "./absent" in refused("./absent")
    assert "config.json" in refused("absent")


def test_a_file_is_no_folder(model):
    assert "is a file" in refused(model / "config.json")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_an_incomplete_folder_says_what_is_missing(model, name):
    (model / name).unlink()
    kind = "safetensors" if name.startswith("model") else name
    assert kind in refused(model)


def test_pickled_weights_are_not_taken(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert "pytorch_model.bin cannot be used" in refused(model)


def test_truncated_weights_are_found(model):
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    assert "damaged" in refused(model)


def test_a_broken_config_is_found(model):
    (model / "config.json").write_text("{")
    assert "config.json cannot be read" in refused(model)
    (model / "config.json").write_text("[]")
    assert "JSON object" in refused(model)


def test_a_missing_shard_is_found(model):
    weights = {"a": "model.safetensors", "b": "model-2.safetensors"}
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weights}))
    assert "model-2.safetensors" in refused(model)


def test_without_network_a_hub_id_is_one_clear_line(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(AssetError, match="nobody/nothing") as caught:
        ensure_model("nobody/nothing")
    assert "\n" not in str(caught.value)
    assert "network" in str(caught.value)


def test_a_connection_that_breaks_is_one_clear_line(monkeypatch):
    import huggingface_hub

    def breaks(*_: object, **__: object) -> None:
        raise transport_error()("the server hung up")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", breaks)
    with pytest.raises(AssetError, match=r"\(the server hung up\); check the name and the network"):
        ensure_model("somebody/model")


@pytest.mark.assets
def test_the_bundled_model_is_a_plain_folder():
    folder = ensure_model(BUNDLED_MODEL)
    check_model_folder(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "llama"
    assert config["dtype"] == "bfloat16"
    assert "quantization_config" not in config
    template = (folder / "chat_template.jinja").read_text()
    assert "<|im_start|>" in template
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings["eos_token"] == "<|im_end|>"
