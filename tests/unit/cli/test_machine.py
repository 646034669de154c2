"""What doctor finds of a machine: each check on something made for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from deployments.cli import checks, machine, torch_checks
from deployments.cli.checks import Check
from deployments.cli.main import execute
from flows.config import EvolutionConfig
from tasks.storage.config import StoreConfig
from training.config import TrainingConfig


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
    for check in (machine.python_version(), machine.cores(), machine.memory()):
        assert check.found
    assert machine.fast_bf16().status in ("ok", "warn")


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_doctor_fails_only_where_runs_would(
    status: str, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "all_checks", lambda _: [Check("disk", status, "3 GiB", "more")])
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
    enough = list(torch_checks.training_memory(config))
    assert [(check.name, check.status) for check in enough] == [
        ("sft memory", "ok"), ("rl memory", "ok")
    ]  # fmt: skip
    assert "activations" in enough[0].found
    monkeypatch.setattr("training.memory_limits.free_memory", lambda: 3 << 30)
    sft, rl = torch_checks.training_memory(config)
    assert (sft.status, rl.status) == ("warn", "warn")
    assert "3.00 GiB are free" in sft.hint
    assert "training.micro_batch_size=" in sft.hint
    monkeypatch.setattr("agents.assets.model.fetched_model", lambda _: None)
    (unknown,) = torch_checks.training_memory(config)
    assert "not known before" in unknown.found


def test_space_is_looked_for_where_a_folder_would_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "not" / "there"
    asked: list[Path] = []

    def disk_usage(path: Path) -> tuple[int, int, int]:
        asked.append(path)
        return shutil._ntuple_diskusage(100 << 30, 98 << 30, 2 << 30)

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    check = machine.free_space("disk", folder, 10, "elsewhere")
    assert (check.status, check.hint) == ("warn", "elsewhere")
    assert check.found == f"2.0 GiB free at {folder}"
    assert asked == [tmp_path]
    assert machine.free_space("disk", folder, 1, "elsewhere").status == "ok"
    assert not folder.parent.exists()


def test_the_disks_are_those_of_the_store_and_of_prefect(tmp_path: Path) -> None:
    names = [check.name for check in machine.disks(StoreConfig(uri=str(tmp_path / "store")))]
    assert names == ["store's disk", "Prefect's disk"]
    bucket, _ = machine.disks(StoreConfig(uri="s3://bucket/x", cache=str(tmp_path)))
    assert bucket.name == "cache's disk"
    assert str(tmp_path) in bucket.found


def test_an_accelerator_in_use_is_a_warning() -> None:
    gib = 1 << 30
    idle = torch_checks.gpu("NVIDIA H100", "570.1", 78 * gib, 79 * gib)
    assert (idle.status, idle.found) == (
        "ok",
        "NVIDIA H100, driver 570.1, 78.0 of 79.0 GiB free",
    )
    busy = torch_checks.gpu("NVIDIA H100", "", 20 * gib, 79 * gib)
    assert busy.status == "warn"
    assert "nvidia-smi" in busy.hint
