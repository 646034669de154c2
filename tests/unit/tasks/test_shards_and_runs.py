"""What a killed stage finds again: its finished rows, and the records of runs and stages."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from store_samples import trajectory

from agents.errors import StoreError, UsageError
from evaluation.gate import GateDecision
from tasks import shards
from tasks.artifacts import ArtifactStore
from tasks.manifest import ArtifactRef
from tasks.runs import ForcedPromotion, PolicyEntry, RunLog, RunRecord, StageRecord
from tasks.shards import ShardLog, clear_partial


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path)


def test_shards_give_back_each_trajectory_once(store: ArtifactStore) -> None:
    made = [trajectory(i) for i in range(12)]
    log = ShardLog(store, "rollout-1")
    log.append_trajectories(made[:5])
    log.append_trajectories([])
    again = ShardLog(ArtifactStore.open(store.uri), "rollout-1")
    again.append_trajectories(made[3:])
    assert sorted(again.trajectories(), key=lambda t: t.rollout_index) == made
    assert ShardLog(store, "rollout-2").rows() == []


def test_two_writers_of_one_stage_lose_nothing(store: ArtifactStore) -> None:
    one, other = ShardLog(store, "k"), ShardLog(store, "k")
    one.append_trajectories([trajectory(0)])
    other.append_trajectories([trajectory(1)])
    assert {t.rollout_index for t in ShardLog(store, "k").trajectories()} == {0, 1}


def test_what_ends_is_written_about_every_second(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_EVERY_S", 0.05)
    log = ShardLog(store, "k")
    with log.open() as keep:
        for index in range(3):
            keep(trajectory(index))
        until = time.monotonic() + 10
        while not store.objects.paths("partial") and time.monotonic() < until:
            time.sleep(0.01)
        assert len(ShardLog(store, "k").rows()) == 3, "written while the work goes on"
        keep(trajectory(3))
    assert [t.rollout_index for t in ShardLog(store, "k").trajectories()] == [0, 1, 2, 3]
    assert 2 <= len(store.objects.paths("partial")) <= 4


def test_what_had_ended_is_written_where_the_work_fails(store: ArtifactStore) -> None:
    def work() -> None:
        with ShardLog(store, "k").open() as keep:
            keep(trajectory(0))
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert len(ShardLog(store, "k").rows()) == 1


def test_a_shard_that_cannot_be_written_ends_the_work(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_EVERY_S", 0.02)

    def fail(path: str, data: bytes) -> bool:
        raise StoreError("the disk is full")

    monkeypatch.setattr(store.objects, "put_new", fail)
    taken: list[int] = []

    def work() -> None:
        with ShardLog(store, "k").open() as keep:
            for index in range(1000):
                keep(trajectory(index))
                taken.append(index)
                time.sleep(0.01)

    with pytest.raises(StoreError, match="the disk is full"):
        work()
    assert len(taken) < 900, "the next trajectory tells"


def test_logs_of_one_stage_are_kept_apart_and_cleared_together(store: ArtifactStore) -> None:
    ShardLog(store, "k").append_trajectories([trajectory(0)])
    ShardLog(store, "k", folder="rollouts/1").append_trajectories([trajectory(1)])
    ShardLog(store, "k2").append_trajectories([trajectory(2)])
    assert [t.rollout_index for t in ShardLog(store, "k").trajectories()] == [0]
    logged = ShardLog(store, "k", folder="rollouts/1").trajectories()
    assert [t.rollout_index for t in logged] == [1]
    clear_partial(store, "k")
    assert [path.split("/")[1] for path in store.objects.paths("partial")] == ["k2"]


def test_cleared_shards_are_gone(store: ArtifactStore) -> None:
    log = ShardLog(store, "k")
    log.append_trajectories([trajectory()])
    log.clear()
    assert log.rows() == []
    assert store.objects.paths("partial") == []


def test_a_damaged_shard_is_named(store: ArtifactStore) -> None:
    ShardLog(store, "k").append_trajectories([trajectory()])
    (path,) = store.objects.paths("partial")
    store.objects.path_of(path).write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"partial/k/shard-.* is damaged"):
        ShardLog(store, "k").rows()


def test_run_records_come_back(store: ArtifactStore) -> None:
    log = RunLog(store.objects)
    late = RunRecord("late", "smoke", 1, "running", "2026-02-01", config={"a": [1, None]})
    early = RunRecord(
        "early", "laptop", 0, "done", "2026-01-01", policies=(PolicyEntry("base", 0, "d", True),)
    )
    log.save_run(late)
    log.save_run(early)
    assert log.runs() == [early, late]
    assert log.run("early") == early
    assert log.run("none") is None


def test_what_the_gate_decided_and_what_was_forced_come_back(store: ArtifactStore) -> None:
    gate = GateDecision(False, "worse", "no_regression", 8, 0.5, 0.25, -0.25, -0.5, 1 / 3)
    entry = PolicyEntry("iteration 1", 1, "e", True, forced=True, compared_with="d", gate=gate)
    forced = (ForcedPromotion(1, "e", "worse", "2026-01-01"),)
    record = RunRecord("r", "smoke", 0, "done", "t", policies=(entry,), forced=forced)
    RunLog(store.objects).save_run(record)
    assert RunLog(store.objects).run("r") == record


def test_a_record_of_a_version_without_the_gates_decisions_is_read(store: ArtifactStore) -> None:
    record = RunRecord("r", "smoke", 0, "done", "t", policies=(PolicyEntry("base", 0, "d", True),))
    old = asdict(record)
    del old["forced"]
    old["policies"] = [{"name": "base", "iteration": 0, "digest": "d", "promoted": True}]
    store.objects.put("runs/r/run.json", json.dumps(old).encode())
    assert RunLog(store.objects).run("r") == record


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 81])
def test_a_name_that_is_no_file_name_is_bad_usage(store: ArtifactStore, name: str) -> None:
    with pytest.raises(UsageError, match="run name"):
        RunLog(store.objects).save_run(RunRecord(name, "smoke", 0, "running", ""))


def test_stage_records_come_back_by_run_and_time(store: ArtifactStore) -> None:
    log = RunLog(store.objects)
    ref = ArtifactRef("benchmarks", "d", "k", "scores")
    base = StageRecord("r", 0, "benchmark", "k1", "done", "base", (ref,), True, 1.0, "2026-01-01")
    cold = StageRecord(
        "r", 0, "benchmark", "k2", "done", "cold start", (), False, 2.0, "2026-01-02"
    )
    other = StageRecord("r2", 0, "construct", "k3", "failed", started_at="2026-01-03", error="x")
    for record in (cold, other, base):
        log.save_stage(record)
    assert log.stages("r") == [base, cold]
    assert log.stages() == [base, cold, other]


def test_a_damaged_record_is_named(store: ArtifactStore) -> None:
    store.objects.put("runs/r/run.json", b"{}")
    with pytest.raises(StoreError, match=r"runs/r/run\.json is damaged"):
        RunLog(store.objects).runs()
