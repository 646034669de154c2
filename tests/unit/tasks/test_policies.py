"""Policies are taken from model folders, named by content and found by the names people use."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.errors import StoreError, UsageError
from tasks.artifacts import ArtifactStore
from tasks.runs import PolicyEntry, RunLog, RunRecord


def model(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "optimizer.pt").write_bytes(b"pickled")
    (folder / "trainer_state.json").write_text('{"time": 1}')
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "store")


def test_only_a_models_own_files_are_taken(store: ArtifactStore, tmp_path: Path) -> None:
    ref = store.write_policy(model(tmp_path / "m"), stage_key="sft-1", run="r", iteration=2)
    folder = store.policy_folder(ref)
    assert {p.name for p in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "chat_template.jinja",
    }
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert store.policy_folder(ref.digest) == folder
    assert store.manifest(ref).num_rows is None


def test_the_digest_is_that_of_the_files(store: ArtifactStore, tmp_path: Path) -> None:
    a = store.write_policy(model(tmp_path / "a"), stage_key="a")
    b = store.write_policy(model(tmp_path / "b"), stage_key="b")
    c = store.write_policy(model(tmp_path / "c", b"others"), stage_key="c")
    assert a.digest == b.digest != c.digest


def test_a_policy_cut_by_a_kill_is_completed_by_the_next_try(
    store: ArtifactStore, tmp_path: Path
) -> None:
    ref = store.write_policy(model(tmp_path / "m"), stage_key="k")
    weights = store.policy_folder(ref) / "model.safetensors"
    weights.unlink()
    store.objects.path_of("manifests/k/policy.json").unlink()
    fresh = ArtifactStore.open(store.uri)
    with pytest.raises(StoreError, match="not in the store"):
        fresh.policy_folder(ref.digest)
    assert fresh.write_policy(tmp_path / "m", stage_key="k") == ref
    assert weights.read_bytes() == b"weights"


def test_a_damaged_policy_is_refused_by_name(store: ArtifactStore, tmp_path: Path) -> None:
    ref = store.write_policy(model(tmp_path / "m"), stage_key="k")
    (store.policy_folder(ref) / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(StoreError, match=r"model\.safetensors has 3 bytes, expected 7"):
        store.policy_folder(ref)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_without_a_model_is_bad_usage(
    store: ArtifactStore, tmp_path: Path, missing: str
) -> None:
    folder = model(tmp_path / "m")
    (folder / missing).unlink()
    with pytest.raises(UsageError, match=r"expected (a config\.json|weights)"):
        store.write_policy(folder, stage_key="k")
    assert store.objects.paths("") == []


def test_a_policy_is_found_by_what_people_call_it(store: ArtifactStore, tmp_path: Path) -> None:
    base = store.write_policy(model(tmp_path / "a", b"1"), stage_key="a").digest
    cold = store.write_policy(model(tmp_path / "b", b"2"), stage_key="b").digest
    last = store.write_policy(model(tmp_path / "c", b"3"), stage_key="c").digest
    record = RunRecord(
        "laptop",
        "laptop",
        0,
        "done",
        "2026-01-01T00:00:00.000+00:00",
        policies=(
            PolicyEntry("base", 0, base, True),
            PolicyEntry("cold start", 0, cold, True),
            PolicyEntry("iteration 1", 1, last, False),
        ),
    )
    RunLog(store.objects).save_run(record)
    expected = {
        "laptop": cold,
        "laptop/base": base,
        "laptop/cold-start": cold,
        "laptop/0": cold,
        "laptop/1": last,
        base[:10]: base,
        last: last,
    }
    found = {name: store.resolve_policy(name).digest for name in expected}
    assert found == expected
    local = store.resolve_policy(str(tmp_path / "c"))
    assert (local.digest, local.uri) == (last, (tmp_path / "c").as_uri())
    for wrong in ("laptop/7", "nowhere", "ffff", "laptop/"):
        with pytest.raises(UsageError, match=f"policy {wrong}"):
            store.resolve_policy(wrong)


def test_the_model_among_the_inputs_is_a_policy_by_its_name(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model(tmp_path / "fetched")
    monkeypatch.setattr("tasks.policies.ensure_model", lambda name: folder)
    found = store.resolve_policy("smollm2-135m-instruct")
    assert found == store.resolve_policy(str(folder))
    with pytest.raises(UsageError, match="smollm2-135m-instruct"):
        store.resolve_policy("smollm2")
