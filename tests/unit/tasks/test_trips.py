"""A sentinel that tripped stays on record: read back, archived, verified, shown in SQL."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from sample_run import SampleRun

from agents.errors import SentinelTrippedError, StoreError
from tasks.artifacts import ArtifactStore
from tasks.care.archive import archive_run
from tasks.care.gc import plan_collection
from tasks.care.restore import restore_run
from tasks.care.verification import verify_store
from tasks.catalog import Catalog
from tasks.config import StageContext
from tasks.heavy.outcome import error_of_event
from tasks.trips import TripLog, TripRecord, trip_record
from training.sentinels import Trip

FELL = Trip("format_floor", "format_rate", 0.12, 0.2, 0.2, 5, 8)
NOT_FINITE = Trip("non_finite", "grad_norm", math.inf, math.inf, None, 3, 3)


def record(trip: Trip = FELL, run: str = "demo", back_to_step: int = 4) -> TripRecord:
    context = StageContext(run=run, iteration=1, subject="base")
    return trip_record(trip, context, "rl", "rl-1", back_to_step)


def test_the_line_says_what_was_seen_and_what_to_do() -> None:
    line = record().message
    for words in (
        "sentinel format_floor: format_rate is 0.12 over steps 5 to 8, below 0.2",
        "rl went back to the checkpoint of step 4",
        "--set sentinels.format_floor=null",
    ):
        assert words in line
    line = record(NOT_FINITE, back_to_step=0).message
    assert "grad_norm is inf at step 3" in line
    assert "rl went back to its beginning" in line
    assert "--set sentinels.non_finite=false" in line


def test_trips_come_back_in_order(tmp_path: Path) -> None:
    store = ArtifactStore.open(tmp_path / "store")
    log = TripLog(store.objects)
    assert log.trips() == []
    made = [record(FELL, "a"), record(NOT_FINITE, "b"), record(FELL, "a")]
    for each in made:
        log.save(each)
    assert sorted(log.trips(), key=str) == sorted(made, key=str)
    assert log.trips("b") == [made[1]]
    with Catalog(store) as catalog:
        sql = "select run, sentinel, threshold, first_step, step, back_to_step from sentinel_trips"
        rows = catalog.query(f"{sql} where run = 'b'").to_pylist()
    assert [tuple(row.values()) for row in rows] == [("b", "non_finite", None, 3, 3, 4)]


def test_a_trip_belongs_to_its_run(sample_run: SampleRun, tmp_path: Path) -> None:
    store = sample_run.store
    TripLog(store.objects).save(record())
    archive_run(store, "demo", tmp_path / "demo.tar")
    other = ArtifactStore.open(tmp_path / "other")
    restore_run(other, tmp_path / "demo.tar")
    assert TripLog(other.objects).trips() == TripLog(store.objects).trips() == [record_of(store)]
    (path,) = (p for p in store.objects.paths("runs") if "/trips/" in p)
    dropped = [p for item in plan_collection(store, ["demo"], 0.0).garbage for p in item.objects]
    assert path in dropped


def record_of(store: ArtifactStore) -> TripRecord:
    (found,) = TripLog(store.objects).trips("demo")
    return found


def test_a_damaged_record_is_found(sample_run: SampleRun) -> None:
    store = sample_run.store
    TripLog(store.objects).save(record())
    assert verify_store(store).problems == []
    (path,) = (p for p in store.objects.paths("runs") if "/trips/" in p)
    store.objects.put(path, b'{"run": "demo"}')
    assert [problem.path for problem in verify_store(store).problems] == [path]
    with pytest.raises(StoreError, match="damaged"):
        TripLog(store.objects).trips()


def test_the_child_s_error_keeps_its_type_and_exit_code(tmp_path: Path) -> None:
    event = {
        "type": SentinelTrippedError.__name__,
        "message": record().message,
        "ours": True,
        "memory": False,
    }
    error = error_of_event(event, "rl", tmp_path / "log")
    assert isinstance(error, SentinelTrippedError)
    assert error.exit_code == 3
    assert str(error) == record().message
