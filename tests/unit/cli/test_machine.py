"""What doctor finds: each check on something made for it."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from deployments.cli import machine
from deployments.cli.machine import Check
from deployments.cli.main import execute
from flows.config import EvolutionConfig
from tasks.storage.config import StoreConfig
from training.config import TrainingConfig


def test_versions_that_differ_are_named(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    click_version = importlib.metadata.version("click")
    constraints.write_text(f"# tested\nclick=={click_version}\nno-such-package==1.0\n")
    assert machine.versions(constraints).status == "ok"
    constraints.write_text("click==0.0.1\n")
    check = machine.versions(constraints)
    assert check.status == "warn"
    assert check.found == f"click {click_version} (tested: 0.0.1)"


def test_a_build_of_the_tested_version_is_the_tested_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("torch==2.13.0\n")
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2.13.0+cpu")
    assert machine.versions(constraints).status == "ok"


def test_a_store_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    check = machine.store(StoreConfig(uri=str(tmp_path / "store")))
    assert check.status == "fail"
    assert "expected a folder" in check.found


def test_a_store_that_is_not_there_yet_is_fine_and_is_not_made(tmp_path: Path) -> None:
    assert machine.store(StoreConfig(uri=str(tmp_path / "store"))).status == "ok"
    assert list(tmp_path.iterdir()) == []


def test_missing_assets_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLVESEARCH_CACHE", str(tmp_path))
    check = machine.cached_assets()
    assert check.status == "warn"
    assert "smollm2" in check.found


def test_keys_are_named_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERPER_API_KEY", "BRAVE_API_KEY", "TAVILY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert machine.search_keys().found == "none set"
    monkeypatch.setenv("BRAVE_API_KEY", "sk-secret")
    monkeypatch.setenv("TAVILY_API_KEY", " ")
    assert machine.search_keys().found == "BRAVE_API_KEY set"


def test_a_named_chromium_that_cannot_run_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOLVESEARCH_CHROMIUM", str(tmp_path / "chromium"))
    assert machine.find_chromium() is None
    (tmp_path / "chromium").write_text("#!/bin/sh\n")
    (tmp_path / "chromium").chmod(0o755)
    assert machine.find_chromium() == tmp_path / "chromium"


def test_every_check_of_this_machine_has_a_finding() -> None:
    for check in (machine.python_version(), machine.cores(), machine.memory(), machine.disk()):
        assert check.found
    assert machine.fast_bf16().status in ("ok", "warn")


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_doctor_fails_only_where_runs_would(
    status: str, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "all_checks", lambda _: [Check("disk", status, "3 GiB", "more")])
    assert execute(["doctor", "--json"]) == code
    document = json.loads(capfd.readouterr().out)
    assert document["ok"] is (code == 0)
    assert document["checks"][0]["found"] == "3 GiB"
    assert execute(["doctor"]) == code
    assert "3 GiB" in capfd.readouterr().out


def test_training_that_does_not_fit_is_a_warning_with_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder whose config is that of SmolLM2-135M, on a machine with more and less memory."""
    sizes = {
        "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "vocab_size": 49152, "tie_word_embeddings": True,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    monkeypatch.setattr("agents.assets.model.fetched_model", lambda _: tmp_path)
    config = EvolutionConfig(training=TrainingConfig(device="cpu", precision="fp32"))
    monkeypatch.setattr("training.memory_limits.free_memory", lambda: 500 << 30)
    enough = list(machine.training_memory(config))
    assert [(check.name, check.status) for check in enough] == [
        ("sft memory", "ok"), ("rl memory", "ok")
    ]  # fmt: skip
    assert "activations" in enough[0].found
    monkeypatch.setattr("training.memory_limits.free_memory", lambda: 3 << 30)
    sft, rl = machine.training_memory(config)
    assert (sft.status, rl.status) == ("warn", "warn")
    assert "3.00 GiB are free" in sft.hint
    assert "training.micro_batch_size=" in sft.hint
    monkeypatch.setattr("agents.assets.model.fetched_model", lambda _: None)
    (unknown,) = machine.training_memory(config)
    assert "not known before" in unknown.found
