"""The cache: entries whole or absent, checked before they are given out, and never too many."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from agents.errors import StoreError
from tasks.manifest import StoredFile
from tasks.storage.cache import StoreCache


def stored(content: bytes, name: str = "weights") -> StoredFile:
    return StoredFile(f"artifacts/{name}", len(content), hashlib.sha256(content).hexdigest())


class Source:
    """A store of one content, which counts how often it is asked."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.num_fetched = 0

    def __call__(self, file: StoredFile, target: Path) -> None:
        self.num_fetched += 1
        target.write_bytes(self.content)


def fill(cache: StoreCache, digest: str, content: bytes, used_ago_s: float = 0.0) -> Path:
    folder = cache.entry("tables", digest, [stored(content)], Source(content))
    then = time.time() - used_ago_s
    os.utime(folder, (then, then))
    return folder


def test_an_entry_is_fetched_once_and_found_by_every_process(tmp_path):
    source = Source(b"abc")
    for _ in range(2):
        cache = StoreCache(tmp_path, 1 << 20)
        folder = cache.entry("policies", "d", [stored(b"abc")], source)
        assert (folder / "weights").read_bytes() == b"abc"
    assert source.num_fetched == 1


def test_what_cannot_be_fetched_leaves_nothing(tmp_path):
    def broken(file: StoredFile, target: Path) -> None:
        target.write_bytes(b"half")
        raise StoreError("damaged")

    cache = StoreCache(tmp_path, 1 << 20)
    with pytest.raises(StoreError, match="damaged"):
        cache.entry("policies", "d", [stored(b"abc")], broken)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not (tmp_path / "policies" / "d").exists()


def test_a_copy_that_was_cut_by_hand_is_fetched_again(tmp_path):
    cache = StoreCache(tmp_path, 1 << 20)
    folder = fill(cache, "d", b"abc")
    (folder / "weights").write_bytes(b"a")
    assert (fill(cache, "d", b"abc") / "weights").read_bytes() == b"abc"


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    cache = StoreCache(tmp_path, 25)
    oldest = fill(cache, "1", b"x" * 10, used_ago_s=9000)
    older = fill(cache, "2", b"x" * 10, used_ago_s=8000)
    newest = fill(cache, "3", b"x" * 10)
    assert not oldest.exists()
    assert older.exists()
    assert newest.exists()


def test_what_was_used_in_the_last_hour_stays_whatever_its_size(tmp_path):
    cache = StoreCache(tmp_path, 25)
    folders = [fill(cache, str(n), b"x" * 10, used_ago_s=60) for n in range(4)]
    assert all(folder.exists() for folder in folders)


def test_use_keeps_an_entry(tmp_path):
    cache = StoreCache(tmp_path, 25)
    first = fill(cache, "1", b"x" * 10, used_ago_s=9000)
    second = fill(cache, "2", b"x" * 10, used_ago_s=8000)
    cache.entry("tables", "1", [stored(b"x" * 10)], Source(b""))
    fill(cache, "3", b"x" * 10)
    assert first.exists()
    assert not second.exists()


def test_what_a_killed_process_was_filling_is_cleared_after_a_day(tmp_path):
    cache = StoreCache(tmp_path, 25)
    for name, age_s in (("old", 90_000), ("new", 60)):
        folder = tmp_path / "filling" / name
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age_s,) * 2)
    fill(cache, "1", b"x")
    assert [path.name for path in (tmp_path / "filling").iterdir()] == ["new"]


def test_many_may_fill_the_same_entry_at_once(tmp_path):
    errors: list[BaseException] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        try:
            folder = fill(StoreCache(tmp_path, 1 << 20), "d", b"abc")
            assert (folder / "weights").read_bytes() == b"abc"
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list((tmp_path / "filling").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(StoreError, match=r"^cannot write [^\n]*$"):
        fill(StoreCache(tmp_path / "cache", 1), "d", b"abc")
