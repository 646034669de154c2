"""A folder and a bucket behave alike, whatever is done to them in whatever order."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from agents.errors import StoreError
from tasks.storage.objects import ObjectStore

PATHS = st.sampled_from(["a", "b/a", "b/b", "b/c/a", "bb/a", "with space/and=sign", "ü/ä"])
CONTENTS = st.binary(max_size=40)


def machine_of(place, folder: Path) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        """An object store beside a dictionary that says what it must hold."""

        def __init__(self) -> None:
            super().__init__()
            self.objects = ObjectStore.open(place.new())
            self.expected: dict[str, bytes] = {}

        @rule(path=PATHS, data=CONTENTS)
        def put_new(self, path: str, data: bytes) -> None:
            is_new, wrote = path not in self.expected, self.objects.put_new(path, data)
            there = self.expected.setdefault(path, data)
            # A remote store may not know whether equal bytes are its own of a moment ago.
            assert wrote == is_new or (self.objects.is_remote and there == data)

        @rule(path=PATHS, data=CONTENTS)
        def put(self, path: str, data: bytes) -> None:
            self.objects.put(path, data)
            self.expected[path] = data

        @rule(path=PATHS, data=CONTENTS)
        def put_file(self, path: str, data: bytes) -> None:
            (folder / "out").write_bytes(data)
            self.objects.put_file(path, folder / "out")
            self.expected[path] = data

        @rule(path=PATHS)
        def get(self, path: str) -> None:
            data = self.expected.get(path)
            assert self.objects.get(path) == data
            assert self.objects.size(path) == (None if data is None else len(data))

        @rule(path=PATHS)
        def get_file(self, path: str) -> None:
            file, data = folder / "in", self.expected.get(path)
            file.unlink(missing_ok=True)
            digest = hashlib.sha256(data or b"").hexdigest()
            assert self.objects.get_file(path, file, digest) == (data is not None)
            assert (file.read_bytes() if file.exists() else None) == data

        @rule(paths=st.lists(PATHS, max_size=3))
        def delete(self, paths: list[str]) -> None:
            self.objects.delete(paths)
            for path in paths:
                self.expected.pop(path, None)

        @rule(prefix=st.sampled_from(["", "b", "b/c", "bb", "none"]))
        def list_some(self, prefix: str) -> None:
            found = {meta.path: meta.num_bytes for meta in self.objects.list_meta(prefix)}
            start = f"{prefix}/" if prefix else ""
            assert found == {p: len(d) for p, d in self.expected.items() if p.startswith(start)}

        @invariant()
        def all_paths(self) -> None:
            assert self.objects.paths("") == sorted(self.expected)

    return Machine


def test_any_use_of_objects_is_that_of_a_dictionary(place, tmp_path):
    run_state_machine_as_test(
        machine_of(place, tmp_path),
        settings=settings(
            max_examples=15,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_listing_tells_that_an_object_was_written_anew(place):
    objects = ObjectStore.open(place.new())
    objects.put("a/b", b"1")
    objects.put("a/c", b"1")
    before = objects.list_meta("a")
    objects.put("a/b", b"2")
    after = objects.list_meta("a")
    assert [(meta.path, meta.num_bytes) for meta in after] == [("a/b", 1), ("a/c", 1)]
    assert before[0].version != after[0].version
    assert before[1] == after[1]
    assert abs(before[1].modified_s - time.time()) < 600


@pytest.mark.parametrize("num_bytes", [0, 1, 5 << 20, (11 << 20) + 7])
def test_files_of_many_parts_come_back_as_they_were(place, tmp_path, num_bytes):
    content = hashlib.shake_128(b"seed").digest(num_bytes)
    (tmp_path / "out").write_bytes(content)
    objects = ObjectStore.open(place.new().model_copy(update={"part_mib": 5}))
    objects.put_file("w/x", tmp_path / "out")
    assert objects.get_file("w/x", tmp_path / "in", hashlib.sha256(content).hexdigest())
    assert (tmp_path / "in").read_bytes() == content
    assert objects.get("w/x") == content
    assert not objects.get_file("w/y", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_file_of_another_digest_is_refused_and_leaves_what_was_there(place, tmp_path):
    objects = ObjectStore.open(place.new())
    objects.put("w/x", b"content")
    (tmp_path / "in").write_bytes(b"before")
    with pytest.raises(StoreError, match=r"w/x is damaged: its digest is not as recorded$"):
        objects.get_file("w/x", tmp_path / "in", "0" * 64)
    assert (tmp_path / "in").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["in"]
