"""A model behind an API is a policy of its own; a Hub model is fetched like a base model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from agents.errors import UsageError
from tasks import policies
from tasks.api_policies import policy_to_ask
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig
from tasks.policies import policy_digest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    save_file({"weight": np.zeros(2, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "store")


def config_for(model: Path, name: str, url: str = "http://127.0.0.1:1/v1") -> StageConfig:
    engine = {"kind": "openai", "openai": {"model": name, "url": url}}
    return StageConfig.model_validate({"model": str(model), "engine": engine})


def test_it_has_a_digest_of_its_own_a_tokenizer_and_no_weights(
    model: Path, store: ArtifactStore
) -> None:
    ref = policy_to_ask(store, config_for(model, "gpt-x"), "openai:gpt-x")
    folder = store.policy_folder(ref)
    names = {path.name for path in folder.iterdir()}
    assert names == {"api.json", "config.json", "tokenizer.json"}
    assert json.loads((folder / "api.json").read_text())["model"] == "gpt-x"
    assert ref.digest != policy_digest(model)
    assert policy_to_ask(store, config_for(model, "gpt-x"), "openai:gpt-x") == ref
    assert policy_to_ask(store, config_for(model, "gpt-y"), "openai:gpt-y").digest != ref.digest
    elsewhere = config_for(model, "gpt-x", "http://127.0.0.1:2/v1")
    assert policy_to_ask(store, elsewhere, "openai:gpt-x").digest != ref.digest
    assert store.resolve_policy(ref.digest[:10]).digest == ref.digest


def test_the_engine_must_ask_that_very_model(model: Path, store: ArtifactStore) -> None:
    with pytest.raises(UsageError, match=r"engine\.openai\.model=gpt-x, got gpt-y"):
        policy_to_ask(store, config_for(model, "gpt-y"), "openai:gpt-x")
    plain = StageConfig(model=str(model))
    with pytest.raises(UsageError, match="got engine transformers"):
        policy_to_ask(store, plain, "openai:gpt-x")


def test_the_tiny_model_lends_no_tokenizer(model: Path, store: ArtifactStore) -> None:
    tiny = config_for(model, "gpt-x").model_copy(update={"model": "tiny"})
    with pytest.raises(UsageError, match="set model="):
        policy_to_ask(store, tiny, "openai:gpt-x")


def test_any_other_policy_is_what_it_always_was(model: Path, store: ArtifactStore) -> None:
    ref = policy_to_ask(store, StageConfig(), str(model))
    assert ref.digest == policy_digest(model)


def test_a_hub_model_is_fetched_by_its_id(
    model: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(name: str) -> Path:
        asked.append(name)
        return model

    monkeypatch.setattr(policies, "ensure_model", fetch)
    assert policy_to_ask(store, StageConfig(), "hub:owner/name").digest == policy_digest(model)
    assert asked == ["owner/name"]


def test_a_folder_without_weights_that_names_no_api_is_no_policy(
    model: Path, store: ArtifactStore
) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="safetensors"):
        policy_to_ask(store, StageConfig(), str(model))
