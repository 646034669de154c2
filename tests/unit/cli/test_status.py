"""`status`: unfinished runs of a store, and Prefect's pools where a server is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.cli.main import execute
from deployments.prefect import state as prefect_state
from deployments.prefect.state import PoolState, PrefectState, ServerError, Zombie
from tasks.artifacts import ArtifactStore
from tasks.run_owner import working_on
from tasks.runs import RunLog, RunRecord

STATE = PrefectState(
    "http://127.0.0.1:1/api",
    "3.8.8",
    "3.8.8",
    (
        PoolState("evolve-cpu", "process", False, ("host-1",), 0, 1),
        PoolState("evolve-train", "process", False, (), 3, 0),
        PoolState("idle", "process", True, (), 0, 0),
    ),
    (Zombie("0123", "sft 1", "evolve-train", "2026-01-02T03:04:05+00:00"),),
    (),
)


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_state, "named_server", lambda: None)


def test_a_run_at_work_and_a_failed_one_are_listed(
    finished_run: RunRecord, store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    objects = ArtifactStore.open(store_path).objects
    log = RunLog(objects)
    log.save_run(replace(finished_run, run="second", status="failed", error="no disk"))
    log.save_run(replace(finished_run, run="third", status="running"))
    arguments = ["status", "--store", str(store_path)]
    with working_on(objects, "third"):
        assert execute([*arguments, "--json"]) == 0
        document = json.loads(capfd.readouterr().out)
        states = {run["run"]: (run["state"], run["owner"]) for run in document["runs"]}
        assert states["second"] == ("failed", None)
        state, owner = states["third"]
        assert (state, owner["alive"]) == ("running", True)
        assert document["prefect"] is None
        assert execute(arguments) == 0
    text = capfd.readouterr().out
    assert "second: no disk" in text
    assert "evolvesearch resume second" in text
    assert "first" not in text


def test_a_store_where_all_is_done_says_so(
    finished_run: RunRecord, store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert execute(["status", "--store", str(store_path)]) == 0
    assert "No unfinished runs" in capfd.readouterr().out


def test_pools_and_zombies_of_a_named_server_are_shown(
    finished_run: RunRecord,
    store_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(prefect_state, "named_server", lambda: STATE.api_url)
    monkeypatch.setattr(prefect_state, "read_prefect", lambda _: STATE)
    assert execute(["status", "--store", str(store_path)]) == 0
    lines = [line.strip() for line in capfd.readouterr().out.splitlines()]
    (cpu,) = (line.split() for line in lines if line.startswith("evolve-cpu"))
    assert cpu == ["evolve-cpu", "process", "host-1", "1", "0"]
    (train,) = (line.split() for line in lines if line.startswith("evolve-train"))
    assert train == ["evolve-train", "process", "none", "0", "3"]
    assert any("paused" in line for line in lines if line.startswith("idle"))
    assert any("prefect flow-run cancel 0123" in line for line in lines)
    assert execute(["status", "--store", str(store_path), "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["prefect"]["pools"][1]["late"] == 3


def test_a_server_that_does_not_answer_hides_no_run(
    finished_run: RunRecord,
    store_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(prefect_state, "named_server", lambda: "http://127.0.0.1:9/api")
    with pytest.raises(ServerError):
        prefect_state.read_prefect("http://127.0.0.1:9/api")
    log = RunLog(ArtifactStore.open(store_path).objects)
    log.save_run(replace(finished_run, run="second", status="failed"))
    assert execute(["status", "--store", str(store_path)]) == 1
    captured = capfd.readouterr()
    assert "error: http://127.0.0.1:9/api does not answer" in captured.err
    assert "second" in captured.out
    assert execute(["status", "--store", str(store_path), "--json"]) == 1
    document = json.loads(capfd.readouterr().out)
    assert "does not answer" in document["prefect"]["error"]
    assert len(document["runs"]) == 1
