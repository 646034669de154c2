"""Where unfinished runs stand, and whether anything still works on them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.heavy.processes import ProcessRef, process_of, this_machine
from tasks.leases import EXPIRY_S, LeaseRecord
from tasks.run_owner import owner_of_run, working_on
from tasks.run_status import INTERRUPTED, unfinished_runs
from tasks.runs import RunLog, RunRecord, StageRecord
from tasks.storage.objects import ObjectStore

OWNER = """
import sys, time
from tasks.run_owner import working_on
from tasks.storage.objects import ObjectStore
with working_on(ObjectStore.open(sys.argv[1]), sys.argv[2]):
    print("holds", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore.open(tmp_path / "store")


@pytest.fixture
def owner(objects: ObjectStore) -> Iterator[subprocess.Popen[str]]:
    """Another process that works on the run `demo`."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, objects.uri, "demo"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def save(objects: ObjectStore, run: str = "demo", status: str = "running", error: str = "") -> None:
    record = RunRecord(run, "smoke", 0, status, "2026-01-02T03:04:05.000+00:00", error=error)
    RunLog(objects).save_run(record)


def save_stage(objects: ObjectStore, iteration: int, stage: str, status: str, key: str) -> None:
    started = f"2026-01-02T03:04:{10 + iteration:02d}.000+00:00"
    RunLog(objects).save_stage(
        StageRecord("demo", iteration, stage, key, status, started_at=started)
    )


def put_lease(objects: ObjectStore, key: str, machine: str, pid: ProcessRef, age_s: float) -> None:
    renewed = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat(timespec="milliseconds")
    record = LeaseRecord(machine, "n", (pid,), "demo", renewed)
    objects.put(f"leases/{key}/00000001.json", record.to_bytes())


def test_a_run_at_work_is_told_with_its_stage_and_its_process(
    objects: ObjectStore, owner: subprocess.Popen[str]
) -> None:
    save(objects)
    save_stage(objects, 0, "sft", "done", "sft-1")
    save_stage(objects, 1, "rollout", "running", "rollout-1")
    (found,) = unfinished_runs(objects)
    assert (found.state, found.iteration, found.stage) == ("running", 1, "rollout")
    assert found.since == "2026-01-02T03:04:11.000+00:00"
    assert found.owner is not None
    assert (found.owner.pid, found.owner.alive) == (owner.pid, True)


def test_a_run_between_two_stages_is_at_work_too(
    objects: ObjectStore, owner: subprocess.Popen[str]
) -> None:
    save(objects)
    save_stage(objects, 0, "sft", "done", "sft-1")
    (found,) = unfinished_runs(objects)
    assert (found.state, found.stage) == ("running", "sft")


def test_a_killed_run_is_interrupted(objects: ObjectStore, owner: subprocess.Popen[str]) -> None:
    save(objects)
    owner.kill()
    owner.wait()
    (found,) = unfinished_runs(objects)
    assert found.state == INTERRUPTED
    assert found.owner is not None
    assert (found.owner.pid, found.owner.alive) == (owner.pid, False)


def test_a_run_whose_loop_is_dead_is_at_work_while_a_stage_of_it_is(objects: ObjectStore) -> None:
    save(objects)
    save_stage(objects, 1, "rollout", "running", "rollout-1")
    own = process_of(os.getpid())
    assert own is not None
    put_lease(objects, "run-demo", this_machine(), ProcessRef(1, "never"), 0)
    put_lease(objects, "rollout-1", this_machine(), own, 0)
    (found,) = unfinished_runs(objects)
    assert found.state == "running"
    assert found.owner is not None
    assert found.owner.pid == os.getpid()


def test_an_owner_elsewhere_lives_while_it_renews_its_lease(objects: ObjectStore) -> None:
    for age_s, alive in ((EXPIRY_S - 10, True), (EXPIRY_S + 10, False)):
        put_lease(objects, "run-demo", "elsewhere/boot/ns", ProcessRef(7, "0"), age_s)
        found = owner_of_run(objects, "demo")
        assert found is not None
        assert (found.machine, found.alive) == ("elsewhere", alive)


def test_runs_that_ended_have_no_owner_and_done_ones_are_left_out(objects: ObjectStore) -> None:
    with working_on(objects, "demo"):
        pass
    save(objects, status="failed", error="no disk")
    save(objects, "other", status="done")
    (found,) = unfinished_runs(objects)
    assert (found.run, found.state, found.error, found.owner) == ("demo", "failed", "no disk", None)


def test_of_two_starts_of_a_run_one_follows_the_other(objects: ObjectStore) -> None:
    order: list[str] = []
    began = threading.Event()
    released = threading.Event()

    def second() -> None:
        began.wait()
        with working_on(objects, "demo"):
            order.append(f"second after {released.is_set()}")

    thread = threading.Thread(target=second)
    thread.start()
    with working_on(objects, "demo"):
        began.set()
        thread.join(0.3)
        assert thread.is_alive()
        order.append("first")
        released.set()
    thread.join(10)
    assert order == ["first", "second after True"]
    assert owner_of_run(objects, "demo") is None
