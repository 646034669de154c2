"""Checkpoints in the store: whole or not there, checked before they are used, few at a time."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import StoreError
from tasks.checkpoints import CheckpointLog
from tasks.storage.objects import ObjectStore
from training.checkpoints import Checkpoint

PREFIX = "partial/sft-1/checkpoints"


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore.open(tmp_path / "store")


def made(tmp_path: Path, step: int) -> Checkpoint:
    folder = tmp_path / f"made-{step}"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights %d" % step)
    (folder / "sub" / "optimizer.pt").write_bytes(b"moments %d" % step)
    return Checkpoint(step, folder, {"reports": [], "asked": step})


def log(objects: ObjectStore, keep: int = 2, key: str = "sft-1") -> CheckpointLog:
    return CheckpointLog(objects, key, keep)


def test_the_newest_comes_back_whole(objects: ObjectStore, tmp_path: Path) -> None:
    assert log(objects).latest(tmp_path / "out") is None
    log(objects).save(made(tmp_path, 9))
    name = log(objects).save(made(tmp_path, 10))
    found = log(objects).latest(tmp_path / "out")
    assert found is not None
    assert (found.name, found.checkpoint.step) == (name, 10)
    assert found.checkpoint.progress == {"reports": [], "asked": 10}
    folder = found.checkpoint.folder
    assert (folder / "model.safetensors").read_bytes() == b"weights 10"
    assert (folder / "sub" / "optimizer.pt").read_bytes() == b"moments 10"
    assert log(objects, key="sft-2").latest(tmp_path / "none") is None


def test_only_the_newest_are_kept(objects: ObjectStore, tmp_path: Path) -> None:
    names = [log(objects, keep=2).save(made(tmp_path, step)) for step in (1, 2, 3, 4)]
    left = {path.split("/")[3].removesuffix(".json") for path in objects.paths(PREFIX)}
    assert left == set(names[2:])


def test_what_has_no_record_does_not_exist(objects: ObjectStore, tmp_path: Path) -> None:
    log(objects).save(made(tmp_path, 1))
    name = log(objects).save(made(tmp_path, 2))
    objects.delete([f"{PREFIX}/{name}.json"])  # as if it was killed before the record
    found = log(objects).latest(tmp_path / "out")
    assert found is not None
    assert found.checkpoint.step == 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("content", "the digest of sub/optimizer.pt is not the recorded one"),
        ("file", "sub/optimizer.pt is missing"),
        ("record", "its record cannot be read (JSONDecodeError)"),
        ("fields", "its record cannot be read (KeyError)"),
        ("escape", "its record names a file outside of it"),
        ("format", "it has format 99, expected 1"),
    ],
)
def test_a_damaged_one_is_named_and_the_one_before_it_used(
    objects: ObjectStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
    reason: str,
) -> None:
    log(objects).save(made(tmp_path, 1))
    name = log(objects).save(made(tmp_path, 2))
    record = f"{PREFIX}/{name}.json"
    if damage == "content":
        objects.put(f"{PREFIX}/{name}/sub/optimizer.pt", b"moments X")
    elif damage == "file":
        objects.delete([f"{PREFIX}/{name}/sub/optimizer.pt"])
    elif damage == "record":
        objects.put(record, b'{"format": 1')
    elif damage == "fields":
        objects.put(record, b'{"format": 1}')
    else:
        data = objects.get(record)
        assert data is not None
        change = (
            (b"sub/optimizer.pt", b"../optimizer.pt")
            if damage == "escape"
            else (b'"format": 1', b'"format": 99')
        )
        objects.put(record, data.replace(*change))
    with caplog.at_level(logging.WARNING):
        found = log(objects).latest(tmp_path / "out")
    assert found is not None
    assert found.checkpoint.step == 1
    assert (found.checkpoint.folder / "sub" / "optimizer.pt").read_bytes() == b"moments 1"
    assert f"checkpoint {PREFIX}/{name} is not used: {reason}" in caplog.text


def test_a_write_that_fails_leaves_the_one_before(
    objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(objects, keep=1).save(made(tmp_path, 1))

    def fail(path: str, file: Path) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(objects, "put_file", fail)
    with pytest.raises(StoreError, match="the disk is full"):
        log(objects, keep=1).save(made(tmp_path, 2))
    found = log(objects).latest(tmp_path / "out")
    assert found is not None
    assert found.checkpoint.step == 1


def steps(objects: ObjectStore) -> list[int]:
    paths = objects.paths(PREFIX)
    return sorted(int(p.rpartition("/")[2][:8]) for p in paths if p.endswith(".json"))


@settings(max_examples=40, deadline=None)
@given(
    window=st.integers(1, 6),
    gaps=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    late=st.integers(1, 5),
)
def test_there_is_one_to_go_back_to_from_before_any_window(
    tmp_path_factory: pytest.TempPathFactory, window: int, gaps: list[int], late: int
) -> None:
    """A sentinel with this window trips at any step after a checkpoint, before the next one."""
    folder = tmp_path_factory.mktemp("kept")
    objects = ObjectStore.open(folder / "store")
    checkpoints = CheckpointLog(objects, "sft-1", 2, behind=window - 1)
    step, all_steps = 0, []
    for gap in gaps:
        step += gap
        all_steps.append(step)
        checkpoints.save(made(folder, step))
        assert len(steps(objects)) <= 4
    tripped_at = step + late
    last_good = tripped_at - window
    back = checkpoints.roll_back(last_good)
    assert steps(objects) == [kept for kept in steps(objects) if kept <= last_good]
    assert back == max(steps(objects), default=0)
    if all_steps[0] <= step - (window - 1):
        assert back > 0, "the oldest was old enough: one must be left"
    found = checkpoints.latest(folder / "out")
    assert (found.checkpoint.step if found else 0) == back
