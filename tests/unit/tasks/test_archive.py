"""A run goes into one file and comes out of it unchanged, or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.errors import EvolveSearchError, StoreError, UsageError
from tasks.artifacts import ArtifactStore
from tasks.care.archive import HEADER, archive_run
from tasks.care.restore import restore_run
from tasks.care.verification import verify_store
from tasks.rows import trajectory_row


@pytest.fixture
def archived(sample_run, tmp_path: Path) -> Path:
    file = tmp_path / "demo.tar"
    archive_run(sample_run.store, "demo", file)
    return file


@pytest.fixture
def other(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "other")


def objects_of(store: ArtifactStore) -> dict[str, bytes | None]:
    return {path: store.objects.get(path) for path in store.objects.paths("")}


def test_a_run_comes_out_as_it_went_in(sample_run, archived: Path, other) -> None:
    restored = restore_run(other, archived)
    assert restored.num_new == len(restored.contents.members)
    assert objects_of(other) == objects_of(sample_run.store)
    assert verify_store(other).problems == []
    # Again: all of it is there.
    assert restore_run(other, archived).num_new == 0


def test_the_same_run_gives_the_same_bytes(sample_run, archived: Path, tmp_path: Path) -> None:
    archive_run(ArtifactStore.open(sample_run.store.uri), "demo", tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == archived.read_bytes()


def test_only_the_run_itself_is_in_it(make_run, tmp_path: Path, other) -> None:
    one = make_run("one")
    make_run("two", one.store)
    archive_run(one.store, "two", tmp_path / "two.tar")
    restore_run(other, tmp_path / "two.tar")
    assert {manifest.run for manifest in other.manifests()} == {"two"}


def test_manifests_come_after_objects_and_the_run_last(archived: Path) -> None:
    with tarfile.open(archived) as tar:
        names = tar.getnames()
    tops = [name.partition("/")[0] for name in names]
    assert names[0] == HEADER
    assert tops[1:] == sorted(tops[1:])
    assert names[-1] == "runs/demo/run.json"


def test_bytes_of_equal_content_stay_those_of_the_store(
    sample_run, archived: Path, other: ArtifactStore
) -> None:
    """Timings are outside the digest: two runs of equal content differ in bytes."""
    ref = sample_run.made["rollout"]["trajectories"]
    slower = [
        trajectory_row(dataclasses.replace(t, wall_s=99.0))
        for t in sample_run.store.read_trajectories(ref)
    ]
    other.write_table("trajectories", slower, stage_key="elsewhere", name="t")
    restore_run(other, archived)
    fresh = ArtifactStore.open(other.uri)
    assert {t.wall_s for t in fresh.read_trajectories(ref)} == {99.0}
    assert verify_store(fresh).problems == []


def test_another_run_of_that_name_is_not_replaced(make_run, archived: Path, other) -> None:
    make_run("demo", other)
    record = other.objects.get("runs/demo/run.json") or b""
    other.objects.put("runs/demo/run.json", record.replace(b"smoke", b"laptop"))
    before = objects_of(other)
    with pytest.raises(UsageError, match="another run named demo"):
        restore_run(other, archived)
    assert objects_of(other) == before


def test_other_content_under_the_same_key_is_a_conflict(sample_run, archived: Path, other) -> None:
    ref = sample_run.made["rollout"]["trajectories"]
    other.write_table("trajectories", [], stage_key=ref.key, name=ref.name)
    before = objects_of(other)
    with pytest.raises(StoreError, match="made other content under rollout-demo/trajectories"):
        restore_run(other, archived)
    assert objects_of(other) == before


def test_a_damaged_object_is_not_archived(sample_run, tmp_path: Path) -> None:
    path = sample_run.store.manifest(sample_run.made["rl"]["policy"]).files[1].path
    file = sample_run.store.objects.path_of(path)
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(StoreError, match=r"model\.safetensors is damaged"):
        archive_run(sample_run.store, "demo", tmp_path / "x.tar")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"model\.safetensors is damaged"):
        archive_run(sample_run.store, "demo", tmp_path / "x.tar")
    assert list(tmp_path.glob("*x.tar*")) == []


def test_bad_usage_is_said(sample_run, archived: Path, tmp_path: Path, other) -> None:
    with pytest.raises(UsageError, match="is there already"):
        archive_run(sample_run.store, "demo", archived)
    with pytest.raises(UsageError, match="no run named 'none'"):
        archive_run(sample_run.store, "none", tmp_path / "x.tar")
    with pytest.raises(UsageError, match="found no file"):
        restore_run(other, tmp_path / "none.tar")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x00" * 10240])
def test_a_foreign_file_is_refused(tmp_path: Path, other, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(StoreError, match="no archive of a run"):
        restore_run(other, tmp_path / "x.tar")


def made_by_hand(file: Path, path: str, data: bytes, kind: bytes = tarfile.REGTYPE) -> Path:
    """An archive of one member, whose list is right about it."""
    member = {"path": path, "num_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    head = json.dumps({"format": 1, "run": "demo", "members": [member], "digests": {}}).encode()
    with tarfile.open(file, "w") as tar:
        for name, content, type_ in ((HEADER, head, tarfile.REGTYPE), (path, data, kind)):
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content), type_
            info.linkname = "/etc/passwd" if type_ != tarfile.REGTYPE else ""
            tar.addfile(info, io.BytesIO(content))
    return file


@pytest.mark.parametrize(
    "path",
    [
        "../outside",
        "/etc/passwd",
        "artifacts/policies/../../../x",
        "artifacts/policies/" + "a" * 64 + "/..",
        "artifacts/policies/" + "a" * 64 + "/sub/x",
        "manifests/k/../../x.json",
        "runs/other/run.json",
        "runs/../run.json",
        "partial/k/shard.parquet",
        "manifests/k/n.json\n",
    ],
)
def test_a_path_out_of_place_is_refused(tmp_path: Path, other, path: str) -> None:
    with pytest.raises(StoreError, match="is no place in a store"):
        restore_run(other, made_by_hand(tmp_path / "x.tar", path, b"x"))
    assert objects_of(other) == {}


def test_a_link_is_refused(tmp_path: Path, other) -> None:
    path = "runs/demo/run.json"
    file = made_by_hand(tmp_path / "x.tar", path, b"", tarfile.SYMTYPE)
    with pytest.raises(StoreError, match=r"expected runs/demo/run\.json"):
        restore_run(other, file)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(where=st.floats(0, 1, exclude_max=True), how=st.sampled_from(["flip", "cut"]))
def test_damage_anywhere_is_found_or_harmless(
    archived: Path, tmp_path_factory, where: float, how: str
) -> None:
    """A store is never left with an artifact that is not whole, whatever byte of a file differs."""
    folder = tmp_path_factory.mktemp("damaged")
    data = bytearray(archived.read_bytes())
    at = int(where * len(data))
    if how == "flip":
        data[at] ^= 0x11
    else:
        del data[at:]
    (folder / "x.tar").write_bytes(data)
    store = ArtifactStore.open(folder / "store")
    whole = True
    try:
        restore_run(store, folder / "x.tar")
    except EvolveSearchError:
        whole = False
    found = verify_store(ArtifactStore.open(store.uri))
    assert found.problems == []
    if whole:
        assert found.num_manifests > 0
