"""One process at a time works on a stage; the dead are replaced at once, the living waited for."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from heavy_entries import wait_until_dead

from agents.errors import StoreError
from agents.progress import set_progress
from tasks import leases
from tasks.heavy.processes import ProcessRef, is_alive, process_of, this_machine
from tasks.heavy.run import run_heavy, stop_heavy
from tasks.leases import LeaseLostError, LeaseRecord, is_held, leased
from tasks.runs import utc_now
from tasks.storage.objects import ObjectStore

KEY = "rollout-0123456789abcdef"

OWNER = """
import subprocess, sys, time
from tasks.leases import leased
from tasks.storage.objects import ObjectStore
with leased(ObjectStore.open(sys.argv[1]), sys.argv[2], "other", lambda: False) as lease:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    lease.include(child.pid)
    print(child.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore.open(tmp_path / "store")


@pytest.fixture
def owner(objects: ObjectStore) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that holds the lease, and the id of its child."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, objects.uri, KEY], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    yield process, child
    process.kill()
    process.wait()
    process.stdout.close()
    if process_of(child) is not None:
        os.kill(child, 9)


def never() -> bool:
    return False


def record(machine: str = "elsewhere", **changes: Any) -> LeaseRecord:
    made = LeaseRecord(machine, "n", (ProcessRef(1, "0"),), "other", utc_now())
    return replace(made, **changes)


def put(objects: ObjectStore, generation: int, made: LeaseRecord) -> None:
    objects.put(f"leases/{KEY}/{generation:08d}.json", made.to_bytes())


def test_a_process_is_told_from_later_ones_of_its_id() -> None:
    own = process_of(os.getpid())
    assert own is not None
    assert is_alive(own)
    assert not is_alive(replace(own, start="0"))
    child = subprocess.Popen([sys.executable, "-c", ""])
    while process_of(child.pid) is not None:
        time.sleep(0.01)  # until only a zombie is left
    child.wait()
    assert process_of(child.pid) is None


def test_a_lease_is_given_back(objects: ObjectStore) -> None:
    with leased(objects, KEY, "run", never) as lease:
        assert lease is not None
        assert lease.key == KEY
        assert is_held(objects, KEY)
    assert not is_held(objects, KEY)
    with pytest.raises(KeyError), leased(objects, KEY, "run", never):
        raise KeyError
    assert not is_held(objects, KEY)
    assert objects.paths("leases") == [f"leases/{KEY}/00000002.json"]


def test_threads_hold_it_one_at_a_time(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_POLL_S", 0.001)
    inside, most, times = 0, 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most, times
        with leased(ObjectStore.open(objects.uri), KEY, "run", never) as lease:
            assert lease is not None
            with lock:
                inside, times = inside + 1, times + 1
                most = max(most, inside)
            time.sleep(0.005)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, times) == (1, 12)
    assert len(objects.paths("leases")) == 1


def test_a_living_owner_is_waited_for_with_a_line_and_its_result_taken(
    objects: ObjectStore, owner: tuple[subprocess.Popen[str], int]
) -> None:
    lines: list[str] = []

    class Bars:
        def start(self, description: str, total: float | None, unit: str) -> int:
            lines.append(description)
            return 0

        def update(self, *_: Any) -> None: ...

        def finish(self, bar: int) -> None: ...

    before = set_progress(Bars())
    try:
        answers = iter([False, False, True])
        with leased(objects, KEY, "run", lambda: next(answers)) as lease:
            assert lease is None
    finally:
        set_progress(before)
    machine = this_machine().split("/")[0]
    pid = owner[0].pid
    assert lines == [f"Waiting for run other, process {pid} on {machine}, which works on rollout"]


def test_a_dead_owner_is_replaced_once_its_children_are_gone(
    objects: ObjectStore, owner: tuple[subprocess.Popen[str], int]
) -> None:
    process, child = owner
    process.kill()
    process.wait()
    assert is_held(objects, KEY), "its child still runs"
    threading.Timer(0.3, os.kill, (child, 9)).start()
    started = time.monotonic()
    with leased(objects, KEY, "run", never) as lease:
        assert lease is not None
        assert process_of(child) is None
    assert time.monotonic() - started < 5


def test_of_many_that_take_over_at_once_one_wins(objects: ObjectStore) -> None:
    put(objects, 7, record(this_machine(), processes=(ProcessRef(os.getpid(), "0"),)))
    ready, won = threading.Barrier(12), []

    def take() -> None:
        store = ObjectStore.open(objects.uri)
        ready.wait()
        lease = leases._try(store, KEY, "run", leases._Watch())
        if lease is not None:
            won.append(lease)

    threads = [threading.Thread(target=take) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert objects.paths("leases") == [f"leases/{KEY}/00000008.json"]
    won[0].release()


def test_a_number_that_was_cleared_away_meanwhile_is_not_taken(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(objects, 1, record(released=True))
    put_new = objects.put_new

    def late(path: str, data: bytes) -> bool:
        # While this one was about to make generation 2, two others came and one went.
        put(objects, 3, record())
        objects.delete([f"leases/{KEY}/00000001.json"])
        return put_new(path, data)

    monkeypatch.setattr(objects, "put_new", late)
    assert leases._try(objects, KEY, "run", leases._Watch()) is None
    assert objects.paths("leases") == [f"leases/{KEY}/00000003.json"]


def test_elsewhere_an_owner_lives_as_long_as_it_renews(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "EXPIRY_S", 0.4)
    monkeypatch.setattr(leases, "_POLL_AFAR_S", 0.02)
    put(objects, 1, record())
    renewing_until = time.monotonic() + 1.0
    number = 0

    def renew() -> bool:
        nonlocal number
        if time.monotonic() < renewing_until:
            number += 1
            put(objects, 1, record(renewals=number))
        return False

    with leased(objects, KEY, "run", renew) as lease:
        assert lease is not None
        assert time.monotonic() - renewing_until > 0.3


@pytest.mark.parametrize(
    "changes", [{"released": True}, {"renewed_at": "2020-01-01T00:00:00.000+00:00"}]
)
def test_elsewhere_what_is_released_or_long_forgotten_is_taken_at_once(
    objects: ObjectStore, changes: dict[str, Any]
) -> None:
    put(objects, 1, record(**changes))
    assert not is_held(objects, KEY)
    with leased(objects, KEY, "run", never) as lease:
        assert lease is not None


def test_an_owner_that_was_replaced_notices(objects: ObjectStore) -> None:
    with leased(objects, KEY, "run", never) as lease:
        assert lease is not None
        lease.renew()
        lease.check()
        put(objects, 2, record())
        lease.renew()
        with pytest.raises(LeaseLostError, match="another process has taken it over"):
            lease.check()
    assert is_held(objects, KEY), "the new owner's lease is not given back by the old one"


def test_a_lost_lease_ends_the_child(objects: ObjectStore) -> None:
    pids: list[int] = []
    with leased(objects, KEY, "run", never) as lease:
        assert lease is not None

        def lose(event: Any) -> None:
            pids.extend(event["pids"])
            held = json.loads(objects.get(f"leases/{KEY}/00000001.json") or b"")
            assert event["pids"][0] in [process["pid"] for process in held["processes"]]
            put(objects, 2, record())
            lease.renew()

        try:
            with pytest.raises(LeaseLostError):
                run_heavy(
                    "heavy_entries:linger", {}, description="work", on_event=lose, lease=lease
                )
        finally:
            stop_heavy()
    assert pids
    assert wait_until_dead(pids) == []


def test_a_store_out_of_reach_loses_the_lease_in_the_end(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.02)
    monkeypatch.setattr(leases, "EXPIRY_S", 0.3)

    def fail(path: str, data: bytes) -> None:
        raise StoreError("no answer")

    with leased(objects, KEY, "run", never) as lease:
        assert lease is not None
        monkeypatch.setattr(objects, "put", fail)
        lease.check()
        time.sleep(1.0)
        with pytest.raises(LeaseLostError, match=r"could not be renewed .*no answer"):
            lease.check()


def test_a_lease_that_cannot_be_given_back_is_told(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(path: str, data: bytes) -> None:
        raise StoreError("the disk is full")

    with caplog.at_level(logging.WARNING), leased(objects, KEY, "run", never):
        monkeypatch.setattr(objects, "put", fail)
    assert f"the lease on {KEY} could not be released: the disk is full" in caplog.text


def test_a_damaged_lease_is_named(objects: ObjectStore) -> None:
    objects.put(f"leases/{KEY}/00000001.json", b"{}")
    with pytest.raises(StoreError, match=rf"lease leases/{KEY}/00000001\.json is damaged"):
        is_held(objects, KEY)
