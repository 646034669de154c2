"""Disks that are full and folders that may not be written: one line, nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents.errors import StoreError
from tasks.artifacts import ArtifactStore
from tasks.storage.objects import ObjectStore

_WRITE_UNDER_A_LIMIT = """
import resource, signal, sys
from pathlib import Path
from agents.errors import StoreError
from tasks.artifacts import ArtifactStore
store = ArtifactStore.open(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    store.write_policy(Path(sys.argv[2]), stage_key="k")
except StoreError as error:
    print(error)
"""


@pytest.mark.faults
def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(os.urandom(1 << 20))
    done = subprocess.run(
        [sys.executable, "-c", _WRITE_UNDER_A_LIMIT, str(tmp_path / "store"), str(model)],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("cannot write ")
    store = ArtifactStore.open(tmp_path / "store")
    assert store.manifests() == []
    assert not list((tmp_path / "store").rglob("*safetensors*"))
    ref = store.write_policy(model, stage_key="k")
    stored = store.policy_folder(ref) / "model.safetensors"
    assert stored.read_bytes() == (model / "model.safetensors").read_bytes()


def test_a_full_disk_is_named() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(StoreError, match="the disk is full; free some space") as error:
        _copy_onto_a_full_disk()
    assert "\n" not in str(error.value)


def _copy_onto_a_full_disk() -> None:
    from tasks.storage.objects import one_line

    with one_line("write", "x"), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")


def test_a_folder_that_may_not_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"^cannot open [^\n]*$"):
        ArtifactStore.open(tmp_path / "file" / "store")


def test_a_folder_that_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    objects = ObjectStore.open(tmp_path)
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match=r"permission denied$"):
        objects.put_new("a/b", b"x")


def test_objects_are_new_once(tmp_path: Path) -> None:
    objects = ObjectStore.open(tmp_path)
    assert objects.put_new("a/b", b"1")
    assert not objects.put_new("a/b", b"2")
    assert objects.get("a/b") == b"1"
    objects.put("a/b", b"3")
    assert (objects.get("a/b"), objects.size("a/b"), objects.get("a/c")) == (b"3", 1, None)
    objects.delete(["a/b", "a/c"])
    assert objects.paths("") == []
