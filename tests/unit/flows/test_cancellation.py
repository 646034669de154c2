"""A flow that ends badly has all cancelled that it started, at any depth, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Failed, Pending, Running, Scheduled

from flows import cancellation
from flows.cancellation import cancel_children
from flows.evolve import evolve
from flows.iteration import iteration


class Server:
    """Flow runs of a Prefect server, by the flow run that started them."""

    def __init__(self) -> None:
        self.children: dict[UUID, list[FlowRun]] = {}
        self.set: dict[str, tuple[str, bool]] = {}
        self.is_away = False

    def add(self, parent: FlowRun | None, name: str, state: Any, *, of_worker: bool) -> FlowRun:
        run = FlowRun(
            id=uuid4(),
            flow_id=uuid4(),
            deployment_id=uuid4() if of_worker else None,
            name=name,
            state=state,
        )
        if parent is not None:
            self.children.setdefault(parent.id, []).append(run)
        return run

    def read_flow_runs(self, *, flow_run_filter: Any, limit: int, offset: int) -> list[FlowRun]:
        parents = flow_run_filter.parent_flow_run_id.any_
        found = [child for parent in parents for child in self.children.get(parent, [])]
        return found[offset : offset + limit]

    def set_flow_run_state(self, flow_run_id: UUID, state: Any, force: bool) -> None:
        if self.is_away:
            raise httpx.ConnectError("refused")
        name = next(r.name for rs in self.children.values() for r in rs if r.id == flow_run_id)
        self.set[name] = (state.type.value, force)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()

    @contextmanager
    def client(**_: Any) -> Iterator[Server]:
        yield server

    monkeypatch.setattr(cancellation, "get_client", client)
    return server


def end(parent: FlowRun) -> None:
    cancel_children(SimpleNamespace(name="evolve"), parent, Failed())  # type: ignore[arg-type]


def test_everything_below_that_goes_on_is_cancelled(server: Server):
    parent = server.add(None, "evolve", Failed(), of_worker=True)
    server.add(parent, "construct", Completed(), of_worker=True)
    inner = server.add(parent, "iteration 1", Running(), of_worker=False)
    server.add(inner, "rollout 1", Running(), of_worker=True)
    server.add(inner, "filter 1", Scheduled(), of_worker=True)
    ended = server.add(parent, "iteration 0", Failed(), of_worker=False)
    server.add(ended, "sft 0", Pending(), of_worker=True)
    server.add(
        server.add(None, "another", Running(), of_worker=True), "its", Running(), of_worker=True
    )
    end(parent)
    assert server.set == {
        # Nobody but its parent could have ended it.
        "iteration 1": ("CANCELLED", True),
        "rollout 1": ("CANCELLING", False),
        "filter 1": ("CANCELLING", False),
        "sft 0": ("CANCELLING", False),
    }


def test_more_children_than_a_page_has_are_all_found(server: Server, monkeypatch):
    monkeypatch.setattr(cancellation, "_AT_ONCE", 2)
    parent = server.add(None, "evolve", Failed(), of_worker=True)
    for number in range(4):
        server.add(parent, f"part {number}", Running(), of_worker=True)
    end(parent)
    assert len(server.set) == 4


def test_a_server_that_is_away_is_logged_and_hides_no_other_error(server: Server, caplog):
    parent = server.add(None, "evolve", Failed(), of_worker=True)
    server.add(parent, "rollout 1", Running(), of_worker=True)
    server.is_away = True
    with caplog.at_level(logging.WARNING):
        end(parent)
    assert "rollout 1 could not be cancelled" in caplog.text


@pytest.mark.parametrize("flow", [evolve, iteration])
def test_flows_that_send_stages_out_have_the_hook(flow):
    for hooks in (flow.on_failure_hooks, flow.on_crashed_hooks, flow.on_cancellation_hooks):
        assert cancel_children in hooks
