"""Folders of the cache are complete or absent, whatever happens while they are filled."""

import threading
from pathlib import Path

import pytest

from agents.assets import files
from agents.assets.files import cache_dir, ensure_folder, is_intact
from agents.errors import AssetError


def write_two(folder: Path) -> None:
    (folder / "a.txt").write_text("first")
    (folder / "b.txt").write_text("second")


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("EVOLVESEARCH_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("EVOLVESEARCH_CACHE")
    assert cache_dir() == tmp_path / "xdg" / "evolvesearch"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "evolvesearch"


def test_a_folder_is_filled_once(tmp_path):
    calls = []

    def fill(folder):
        calls.append(folder)
        write_two(folder)

    target = tmp_path / "deep" / "target"
    for _ in range(3):
        assert ensure_folder(target, fill) == target
    assert len(calls) == 1
    assert (target / "b.txt").read_text() == "second"


def test_threads_that_ask_at_once_fill_it_once(tmp_path):
    calls = []
    gate = threading.Barrier(4)

    def fill(folder):
        calls.append(folder)
        write_two(folder)

    def ask():
        gate.wait()
        ensure_folder(tmp_path / "target", fill)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


@pytest.mark.parametrize("damage", ["change", "remove", "no digests"])
def test_a_damaged_folder_is_found_and_made_again(tmp_path, damage):
    target = ensure_folder(tmp_path / "target", write_two)
    if damage == "change":
        (target / "a.txt").write_text("fjrst")
    elif damage == "remove":
        (target / "b.txt").unlink()
    else:
        (target / "digests.json").write_text("{")
    files._checked.clear()  # as a new process would begin
    assert not is_intact(target)
    ensure_folder(target, write_two)
    assert is_intact(target)
    assert (target / "a.txt").read_text() == "first"
    assert (target / "b.txt").exists()


def test_nothing_half_written_stays_when_filling_fails(tmp_path):
    def fail(folder):
        write_two(folder)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        ensure_folder(tmp_path / "target", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".target.lock"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".target-abc123" / "content").mkdir(parents=True)
    ensure_folder(tmp_path / "target", write_two)
    assert {path.name for path in tmp_path.iterdir()} == {"target", ".target.lock"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_line(tmp_path):
    def fill(folder):
        write_two(folder)
        Path("/dev/full").write_text("x")

    with pytest.raises(AssetError, match="no space left") as caught:
        ensure_folder(tmp_path / "target", fill)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [".target.lock"]


def test_an_unwritable_cache_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(AssetError, match="EVOLVESEARCH_CACHE"):
        ensure_folder(tmp_path / "file" / "target", write_two)
