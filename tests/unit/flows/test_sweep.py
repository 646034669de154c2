"""A sweep over fakes of the loop: failures stay alone, what is done is kept, workers are shared."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Crashed, Failed, Running, State

from agents.errors import StageError, UsageError
from flows import handover
from flows import sweep as sweeps
from flows import sweep_dispatch as dispatch
from flows import sweep_report as reports
from flows.config import EvolutionConfig
from flows.profiles import load_profile
from flows.sweep_members import Member, sweep_members
from tasks.prefect_sweep import sweep_text
from tasks.runs import RunLog, RunRecord, StageRecord
from tasks.sweep_choice import SweepChoice
from tasks.sweep_rows import SweepRow


class Loop:
    """Takes the place of `evolve`: writes the record and scores of a run, or fails."""

    def __init__(self, run: Any, config: EvolutionConfig) -> None:
        self._run = run
        self.config = config
        self.fails: set[int] = set()
        self.ran: list[str] = []
        self.published: list[str] = []

    def evolve(self, config: EvolutionConfig, name: str) -> dict[str, Any]:
        self.ran.append(name)
        if config.seed in self.fails:
            self.record(name, "failed")
            raise StageError("nothing\nto learn from")
        self.record(name, "done")
        return {"run": name}

    def record(self, name: str, status: str) -> None:
        """The record of a finished run, with the policies and scores of the sample run."""
        log = RunLog(self._run.store.objects)
        sample = log.run(self._run.name)
        log.save_run(replace(sample, run=name, status=status, wall_s=60.0))
        (scored,) = [each for each in log.stages(self._run.name) if each.stage == "benchmark"]
        log.save_stage(replace(scored, run=name))

    def call(self, grid: dict[str, list[Any]], **more: Any) -> dict[str, Any]:
        self.ran = []
        document: dict[str, Any] = sweeps.sweep.fn(self.config, grid, name="s", **more)
        json.dumps(document)
        return document

    def members(self, grid: dict[str, list[Any]]) -> list[Member]:
        return sweep_members(self.config, "s", grid, None)


@pytest.fixture
def loop(sample_run, monkeypatch) -> Loop:
    config = load_profile("smoke", {"store.uri": sample_run.store.uri})
    fake = Loop(sample_run, config)
    monkeypatch.setattr(sweeps, "evolve", fake.evolve)
    monkeypatch.setattr(sweeps, "get_run_logger", lambda: logging.getLogger("tests"))
    monkeypatch.setattr(handover, "get_run_logger", lambda: logging.getLogger("tests"))
    monkeypatch.setattr(
        reports, "publish_sweep", lambda *shown: fake.published.append(sweep_text(*shown))
    )
    return fake


def test_a_failed_member_is_a_row_and_the_others_are_made(loop):
    loop.fails = {1}
    document = loop.call({"seed": [0, 1, 2]})
    assert [row["status"] for row in document["members"]] == ["done", "failed", "done"]
    failed = document["members"][1]
    assert (failed["error"], failed["average"]) == ("nothing to learn from", None)
    assert document["failed"] == [failed["run"]]
    assert document["members"][0]["average"] == 1.0
    assert document["members"][2]["difference"]["difference"] == 0.0
    assert document["best"]["run"] == document["members"][0]["run"]
    assert document["best"]["by"] == "benchmarks"


def test_the_same_sweep_again_makes_what_is_missing(loop):
    loop.fails = {1}
    first = loop.call({"seed": [0, 1]})
    loop.fails = set()
    again = loop.call({"seed": [0, 1, 2]})
    names = [row["run"] for row in again["members"]]
    assert loop.ran == names[1:]
    assert names[:2] == [row["run"] for row in first["members"]]
    assert [row["reused"] for row in again["members"]] == [True, False, False]
    assert again["failed"] == []


def test_a_sweep_fails_only_if_all_do(loop):
    loop.fails = {0, 1}
    with pytest.raises(StageError, match="all 2 runs of sweep s failed, the first with: nothing"):
        loop.call({"seed": [0, 1]})
    assert len(loop.ran) == 2


def test_ctrl_c_ends_the_sweep(loop, monkeypatch):
    def interrupted(config: EvolutionConfig, name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeps, "evolve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.call({"seed": [0, 1]})


def test_the_comparison_is_shown_while_the_sweep_goes_on(loop):
    loop.call({"seed": [0, 1]})
    assert [text.count("waiting") for text in loop.published] == [2, 1, 0]
    assert "0 of 2 runs have ended" in loop.published[0]
    assert "**Best:" in loop.published[-1]


def test_members_of_one_process_do_not_run_at_once(loop):
    with pytest.raises(UsageError, match=r"max_concurrent is 2, but execution\.mode is 'inline'"):
        loop.call({"seed": [0, 1]}, max_concurrent=2)
    assert loop.ran == []


def test_an_input_that_one_member_lacks_is_missed_before_any_is_started(loop, tmp_path):
    with pytest.raises(UsageError, match="absent"):
        loop.call({"questions.training_file": ["", str(tmp_path / "absent.jsonl")]})
    assert loop.ran == []


def test_errors_and_settings_are_escaped_in_the_artifact():
    row = SweepRow(1, "s-1", {"model": "<i>|x"}, 0, status="failed", error="<b>\n# no | cell")
    choice = SweepChoice("s-1", "d" * 64, "model=<i>", "gate", 1.0, 1, "", None, "<u>why</u>")
    for text in (sweep_text("s", [row], None), sweep_text("s", [row], choice)):
        assert not re.search(r"(?<!\\)[<>]", text)
        assert "\n# no" not in text
        assert r"no \| cell" in text


class Pool:
    """A Prefect server with a pool whose runs end after so many looks, as they are told to."""

    api_url = "http://server/api"

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.looks_each = 2
        self.ends: dict[str, list[State[Any]]] = {}
        self.by_key: dict[str, UUID] = {}
        self.runs: dict[UUID, tuple[str, int, State[Any]]] = {}
        self.most_at_once = 0
        self.cancelled: list[UUID] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def read_flow_runs(self, flow_run_filter: Any, limit: int) -> list[FlowRun]:
        (key,) = flow_run_filter.idempotency_key.any_
        return [self.read_flow_run(self.by_key[key], looks=0)] if key in self.by_key else []

    def send(
        self,
        deployment: str,
        *,
        parameters: dict[str, Any],
        idempotency_key: str,
        timeout: float,
        **more: Any,
    ) -> FlowRun:
        if deployment != sweeps.DEPLOYMENT:
            raise ObjectNotFound(Exception("absent"))
        assert timeout == 0
        assert len(json.dumps(parameters)) < 512 * 1024
        assert idempotency_key not in self.by_key
        self.by_key[idempotency_key] = run = uuid4()
        self.runs[run] = (parameters["name"], self.looks_each, Running())
        return self.read_flow_run(run, looks=0)

    def read_flow_run(self, run: UUID, looks: int = 1) -> FlowRun:
        name, left, state = self.runs[run]
        active = sum(not each[2].is_final() for each in self.runs.values())
        self.most_at_once = max(self.most_at_once, active)
        if looks and not state.is_final() and (left := left - looks) == 0:
            ends = self.ends.get(name, [])
            state = ends.pop(0) if ends else Completed()
            if state.is_completed():
                self._loop.record(name, "done")
        self.runs[run] = (name, left, state)
        return FlowRun(id=run, flow_id=uuid4(), deployment_id=uuid4(), state=state)

    def set_flow_run_state(self, run: UUID, state: State[Any], force: bool) -> None:
        self.cancelled.append(run)


@pytest.fixture
def pool(loop, monkeypatch) -> Pool:
    fake = Pool(loop)
    execution = loop.config.execution.model_copy(update={"mode": "dispatch", "poll_s": 0.001})
    loop.config = loop.config.model_copy(update={"execution": execution})
    monkeypatch.setattr(handover, "get_client", lambda sync_client: fake)
    monkeypatch.setattr(handover, "run_deployment", fake.send)
    return fake


def test_workers_run_so_many_members_at_once(loop, pool):
    document = loop.call({"seed": [0, 1, 2, 3, 4]}, max_concurrent=2)
    assert [row["status"] for row in document["members"]] == ["done"] * 5
    assert pool.most_at_once == 2
    assert loop.ran == []


def test_a_member_that_crashed_is_sent_again_and_one_that_failed_is_not(loop, pool):
    first, second, third = (member.run for member in loop.members({"seed": [0, 1, 2]}))
    pool.ends = {
        first: [Crashed(message="killed")],
        second: [Failed(message="out of\nluck")],
        third: [Crashed(message="killed"), Crashed(message="killed again")],
    }
    document = loop.call({"seed": [0, 1, 2]}, max_concurrent=3)
    assert [row["status"] for row in document["members"]] == ["done", "failed", "failed"]
    assert [row["error"] for row in document["members"]][1:] == [
        f"evolve {second} failed on its worker: out of luck",
        f"evolve {third} crashed on its worker: killed again",
    ]
    assert len(pool.runs) == 5


def test_a_member_under_way_is_found_again_and_one_that_ended_is_sent_anew(loop, pool):
    first, second = loop.members({"seed": [0, 1]})
    order = dispatch._order(first, sweeps.DEPLOYMENT)
    under_way = pool.send(
        order.deployment, parameters=order.parameters, idempotency_key=f"{order.key}/a1", timeout=0
    )
    pool.ends = {second.run: [Failed(message="once")]}
    assert loop.call({"seed": [0, 1]}, max_concurrent=2)["failed"] == [second.run]
    assert next(iter(pool.runs)) == under_way.id
    assert len(pool.runs) == 2
    assert loop.call({"seed": [0, 1]})["failed"] == []
    assert len(pool.runs) == 3


def test_a_sweep_that_is_stopped_leaves_no_worker_at_work(loop, pool, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reports.SweepReport, "settle", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.call({"seed": [0, 1, 2]}, max_concurrent=3)
    assert pool.cancelled == list(pool.runs)[1:]


def test_the_error_that_a_member_recorded_itself_is_told(loop, pool, sample_run):
    (member,) = loop.members({"seed": [1]})
    log = RunLog(sample_run.store.objects)
    log.save_run(RunRecord(member.run, "smoke", 1, "failed", "2026-01-01", error="no questions"))
    log.save_stage(StageRecord(member.run, 0, "construct", "", "failed"))
    pool.ends = {member.run: [Failed(message="Flow run encountered an exception")]}
    with pytest.raises(StageError, match="no questions"):
        loop.call({"seed": [1]})


def test_a_deployment_that_is_not_there_is_named(loop, pool):
    with pytest.raises(StageError, match=r"has no deployment evolve/other.*evolvesearch deploy"):
        loop.call({"seed": [0]}, deployment="evolve/other")
