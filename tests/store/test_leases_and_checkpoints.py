"""Leases and checkpoints on every sort of store: put-if-absent is all that they stand on."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tasks import leases
from tasks.checkpoints import CheckpointLog
from tasks.heavy.processes import ProcessRef, this_machine
from tasks.leases import LeaseRecord, is_held, leased
from tasks.runs import utc_now
from tasks.storage.objects import ObjectStore
from training.checkpoints import Checkpoint

KEY = "rollout-0123456789abcdef"


def test_threads_hold_a_lease_one_at_a_time(place) -> None:
    config = place.new()
    inside, most, times = 0, 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most, times
        with leased(ObjectStore.open(config), KEY, "run", lambda: False) as lease:
            assert lease is not None
            lease.renew()
            with lock:
                inside, times = inside + 1, times + 1
                most = max(most, inside)
            time.sleep(0.02)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, times) == (1, 6)
    objects = ObjectStore.open(config)
    assert not is_held(objects, KEY)
    assert objects.paths("leases") == [f"leases/{KEY}/00000006.json"]


def test_of_many_that_take_over_from_the_dead_one_wins(place) -> None:
    config = place.new()
    dead = ProcessRef(os.getpid(), "0")
    record = LeaseRecord(this_machine(), "n", (dead,), "other", utc_now())
    ObjectStore.open(config).put(f"leases/{KEY}/00000007.json", record.to_bytes())
    ready, won = threading.Barrier(6), []

    def take() -> None:
        objects = ObjectStore.open(config)
        ready.wait()
        lease = leases._try(objects, KEY, "run", leases._Watch())
        if lease is not None:
            won.append(lease)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].check()
    won[0].release()


def test_a_checkpoint_comes_back(place, tmp_path: Path) -> None:
    objects = ObjectStore.open(place.new())
    log = CheckpointLog(objects, "sft-1", keep=1)
    folder = tmp_path / "made"
    folder.mkdir()
    for step in (1, 2):
        (folder / "model.safetensors").write_bytes(os.urandom(1 << 20))
        log.save(Checkpoint(step, folder, {"reports": []}))
    found = log.latest(tmp_path / "out")
    assert found is not None
    assert found.checkpoint.step == 2
    weights = (found.checkpoint.folder / "model.safetensors").read_bytes()
    assert weights == (folder / "model.safetensors").read_bytes()
    assert len(objects.paths("partial")) == 2


def test_a_damaged_checkpoint_is_passed_over(
    place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    objects = ObjectStore.open(place.new())
    log = CheckpointLog(objects, "sft-1", keep=2)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "optimizer.pt").write_bytes(b"moments")
    for step in (1, 2):
        log.save(Checkpoint(step, tmp_path / "made", {"reports": []}))
    newest = max(path for path in objects.paths("partial") if path.endswith(".pt"))
    objects.put(newest, b"pickled by a stranger")
    found = log.latest(tmp_path / "out")
    assert found is not None
    assert found.checkpoint.step == 1
    assert "the digest of optimizer.pt is not the recorded one" in caplog.text
