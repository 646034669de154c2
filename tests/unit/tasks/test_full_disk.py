"""A stage on a disk that is really full ends in one line, and goes on once there is room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_disk import mounted, small_disk

from agents.errors import StoreError
from tasks.artifacts import ArtifactStore
from tasks.config import StageContext
from tasks.leases import Lease
from tasks.runs import RunLog
from tasks.stage import StageWork, run_stage

__all__ = ["small_disk"]  # pytest finds the fixture here

MIB = 1 << 20
CONTEXT = StageContext(run="first", iteration=1, redo=(), fresh_since="")


@pytest.fixture(params=[3, 20], ids=["in one part", "in several parts"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(os.urandom(request.param * MIB))
    return folder


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_stage_on_a_full_disk_ends_in_one_line_and_goes_on_once_there_is_room(
    small_disk: Path, model: Path
) -> None:
    store = ArtifactStore.open(small_disk / "store")

    def compute(lease: Lease) -> None:
        store.write_policy(model, stage_key=lease.key)

    work = StageWork("sft", {"sft": {}}, (), ("policy",), seed=0, compute=compute)
    with pytest.raises(
        StoreError, match=r"the disk is full; free some space and run the"
    ) as caught:
        run_stage(store, CONTEXT, work)
    assert "\n" not in str(caught.value)
    left = files_below(small_disk / "store")
    assert not {path for path in left if "safetensors" in path or path.startswith("manifests/")}
    (record,) = RunLog(store.objects).stages("first")
    assert record.status == "failed"
    assert mounted("remount", "size=32m", at=small_disk)
    outcome = run_stage(store, CONTEXT, work)
    weights = store.policy_folder(outcome.artifacts["policy"]) / "model.safetensors"
    assert weights.read_bytes() == (model / "model.safetensors").read_bytes()


def test_a_record_that_cannot_be_rewritten_keeps_what_it_said(small_disk: Path) -> None:
    store = ArtifactStore.open(small_disk / "store")
    store.objects.put("runs/first/run.json", b"before")
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(3 * MIB))
    with pytest.raises(StoreError, match="the disk is full"):
        store.objects.put("runs/first/run.json", b"after" * MIB)
    assert store.objects.get("runs/first/run.json") == b"before"
    assert files_below(small_disk) == {"filler", "store/runs/first/run.json"}
