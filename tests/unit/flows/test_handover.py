"""Attempts: which flow run is waited for, when the next is sent, and what a long wait says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, WorkerStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import (
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Pending,
    Running,
    Scheduled,
)

from agents.errors import StageError
from flows import handover
from flows.execution import ExecutionConfig
from flows.handover import Order, hand_over

ORDER = Order("rollout/stage", "rollout 1", {"config": {}}, "run/1/rollout//abc", {"gpus": 2})
FAST = ExecutionConfig(mode="dispatch", poll_s=0.001)


class Server:
    """A Prefect server in a few dicts: flow runs by key, each with the states it goes through."""

    def __init__(self) -> None:
        self.api_url = "http://server/api"
        self.runs: dict[str, FlowRun] = {}
        self.futures: dict[Any, list[Any]] = {}
        self.plans: list[list[Any]] = []
        self.made: list[dict[str, Any]] = []
        self.cancelled: list[Any] = []
        self.workers: list[Any] = []
        self.is_paused = False
        self.away = 0

    def has(self, attempt: int, *states: Any) -> None:
        """A flow run of an earlier start."""
        self._add(f"{ORDER.key}/a{attempt}", list(states))

    def run_deployment(self, name: str, **options: Any) -> FlowRun:
        if name == "absent/stage":
            raise ObjectNotFound(Exception("404"))
        self.made.append({"name": name, **options})
        return self._add(options["idempotency_key"], self.plans.pop(0))

    def _add(self, key: str, states: list[Any]) -> FlowRun:
        first, *later = states
        run = FlowRun(
            id=uuid4(), flow_id=uuid4(), deployment_id=uuid4(), name="rollout 1", state=first
        )
        self.runs[key] = run.model_copy(update={"work_pool_name": "evolve-rollout"})
        self.futures[run.id] = later
        return self.runs[key]

    def read_flow_runs(self, *, flow_run_filter: Any, limit: int) -> list[FlowRun]:
        [key] = flow_run_filter.idempotency_key.any_
        return [self.runs[key]][:limit] if key in self.runs else []

    def read_flow_run(self, flow_run_id: Any) -> FlowRun:
        if self.away:
            self.away -= 1
            raise httpx.ConnectError("connection refused")
        key, run = next((k, r) for k, r in self.runs.items() if r.id == flow_run_id)
        if later := self.futures[flow_run_id]:
            self.runs[key] = run = run.model_copy(update={"state": later.pop(0)})
        return run

    def read_work_pool(self, _name: str) -> Any:
        return SimpleNamespace(is_paused=self.is_paused)

    def read_workers_for_work_pool(self, _name: str) -> list[Any]:
        return self.workers

    def set_flow_run_state(self, flow_run_id: Any, state: Any, force: bool) -> None:
        assert state.type.value == "CANCELLING"
        assert not force
        self.cancelled.append(flow_run_id)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()

    @contextmanager
    def client(**_: Any) -> Iterator[Server]:
        yield server

    monkeypatch.setattr(handover, "get_client", client)
    monkeypatch.setattr(handover, "run_deployment", server.run_deployment)
    monkeypatch.setattr(handover, "get_run_logger", lambda: logging.getLogger("run"))
    monkeypatch.setattr(handover, "_SERVER_PAUSE_S", 0.001)
    return server


def keys(server: Server) -> list[str]:
    return [made["idempotency_key"].rpartition("/")[2] for made in server.made]


def test_a_first_order_is_sent_once_with_all_it_needs(server: Server):
    server.plans = [[Scheduled(), Pending(), Running(), Completed()]]
    [ended] = hand_over([ORDER], FAST)
    assert ended.state.is_completed()
    [made] = server.made
    assert made["name"] == "rollout/stage"
    assert made["idempotency_key"] == "run/1/rollout//abc/a1"
    assert made["parameters"] == {"config": {}}
    assert made["job_variables"] == {"gpus": 2}
    assert made["timeout"] == 0
    assert server.cancelled == []


def test_a_flow_run_that_works_already_is_waited_for(server: Server):
    server.has(1, Running(), Running(), Completed())
    [ended] = hand_over([ORDER], FAST)
    assert ended.state.is_completed()
    assert server.made == []


@pytest.mark.parametrize("before", [Completed(), Failed(), Crashed(), Cancelled()])
def test_what_had_ended_before_is_none_of_this_attempt(server: Server, before: Any):
    server.has(1, before)
    server.has(2, before)
    server.plans = [[Scheduled(), Completed()]]
    [ended] = hand_over([ORDER], FAST)
    assert ended.state.is_completed()
    assert keys(server) == ["a3"]


def test_a_crash_is_sent_out_again_as_often_as_is_said(server: Server):
    server.plans = [[Scheduled(), Running(), Crashed()], [Scheduled(), Running(), Completed()]]
    [ended] = hand_over([ORDER], FAST)
    assert ended.state.is_completed()
    assert keys(server) == ["a1", "a2"]
    server.plans = [[Scheduled(), Crashed()], [Scheduled(), Crashed()], [Scheduled(), Completed()]]
    other = Order("rollout/stage", "rollout 1", {}, "another")
    [ended] = hand_over([other], FAST)
    assert ended.state.is_crashed()
    assert len(server.plans) == 1


def test_a_failure_is_not_tried_again(server: Server):
    server.plans = [[Scheduled(), Running(), Failed()]]
    [ended] = hand_over([ORDER], FAST)
    assert ended.state.is_failed()
    assert keys(server) == ["a1"]


def test_what_an_earlier_parent_had_cancelled_is_sent_out_again(server: Server):
    server.has(1, Cancelling(), Cancelling(), Cancelled())
    server.plans = [[Scheduled(), Completed()]]
    [ended] = hand_over([ORDER], FAST)
    assert ended.state.is_completed()
    assert keys(server) == ["a2"]


def test_what_somebody_cancels_stays_cancelled(server: Server):
    server.plans = [[Scheduled(), Running(), Cancelled()]]
    [ended] = hand_over([ORDER], FAST)
    assert ended.state.is_cancelled()
    assert keys(server) == ["a1"]


def test_orders_run_side_by_side_and_each_ends_in_its_own_way(server: Server):
    server.plans = [[Scheduled(), Running(), Running(), Failed()], [Scheduled(), Completed()]]
    orders = [Order("rollout-part/stage", f"part {n}", {}, f"key/{n}") for n in (1, 2)]
    first, second = hand_over(orders, FAST)
    assert (first.order, second.order) == tuple(orders)
    assert first.state.is_failed()
    assert second.state.is_completed()


def test_a_wait_without_a_worker_ends_with_the_pools_name_and_is_cancelled(server: Server):
    server.plans = [[Scheduled()]]
    with pytest.raises(StageError, match="evolve-rollout has no worker online") as caught:
        hand_over([ORDER], FAST.model_copy(update={"wait_s": 0.02}))
    assert "\n" not in str(caught.value)
    assert server.cancelled == [server.runs["run/1/rollout//abc/a1"].id]


@pytest.mark.parametrize(
    ("is_paused", "status", "said"),
    [
        (False, WorkerStatus.OFFLINE, "no worker online"),
        (False, WorkerStatus.ONLINE, "the 1 workers online of work pool evolve-rollout are busy"),
        (True, WorkerStatus.ONLINE, "work pool evolve-rollout is paused"),
    ],
)
def test_a_long_wait_is_warned_of_once_and_says_why(
    server: Server, monkeypatch, caplog, is_paused, status, said
):
    monkeypatch.setattr(handover, "_WARN_S", 0.0)
    server.is_paused, server.workers = is_paused, [SimpleNamespace(status=status)]
    server.plans = [[*[Scheduled()] * 5, Running(), Completed()]]
    hand_over([ORDER], FAST)
    assert [said in record.message for record in caplog.records] == [True]


def test_a_server_that_is_away_for_a_while_is_waited_for(server: Server):
    server.plans = [[Scheduled(), Running(), Completed()]]
    server.away = 3
    [ended] = hand_over([ORDER], FAST)
    assert ended.state.is_completed()


def test_a_server_that_stays_away_is_one_line(server: Server, monkeypatch):
    monkeypatch.setattr(handover, "_SERVER_AWAY_S", 0.01)
    server.plans = [[Scheduled()]]
    server.away = 10_000
    with pytest.raises(StageError, match="has not answered"):
        hand_over([ORDER], FAST)


def test_a_deployment_that_is_not_there_is_named_with_what_makes_it(server: Server):
    with pytest.raises(StageError, match=r"no deployment absent/stage.*evolvesearch deploy"):
        hand_over([Order("absent/stage", "x", {}, "key")], FAST)


@pytest.mark.parametrize("stopped_by", [KeyboardInterrupt, RuntimeError])
def test_a_parent_that_stops_waiting_has_its_children_cancelled(
    server: Server, monkeypatch, stopped_by
):
    server.plans = [[Scheduled(), Completed()], [Scheduled(), Running()]]
    orders = [Order("rollout-part/stage", f"part {n}", {}, f"key/{n}") for n in (1, 2)]
    naps = iter([None, None, stopped_by()])

    def sleep(_seconds: float) -> None:
        if error := next(naps):
            raise error

    monkeypatch.setattr(handover.time, "sleep", sleep)
    with pytest.raises(stopped_by):
        hand_over(orders, FAST)
    # The first had ended by then.
    assert server.cancelled == [server.runs["key/2/a1"].id]
