"""The loop on a real server and real workers: deployed, started, dispatched, equal to inline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_services import PrefectServer, process_worker, run_cli, run_prefect

from tasks.artifacts import ArtifactStore
from tasks.runs import RunLog

pytestmark = [pytest.mark.slow, pytest.mark.assets]

POOLS = ("evolve-control", "evolve-cpu", "evolve-rollout", "evolve-train")
SIZES = {"benchmark.num_questions": 1, "gate.num_questions": 4, "rl.num_steps": 2}


@dataclass(frozen=True)
class Workers:
    """A server with our deployments, and a worker for each of our pools.

    Attributes:
        api_url: The server.
        home: `PREFECT_HOME` of whoever talks to it.
        store: The store that the deployments are told.
    """

    api_url: str
    home: Path
    store: Path

    def run(self, name: str, **settings: Any) -> None:
        """Starts the deployment `evolve/smoke` as a person would, and waits for its end."""
        told = {**SIZES, "store.uri": str(self.store), **settings}
        run_prefect(
            [
                *("deployment", "run", "evolve/smoke", "--watch"),
                *("--param", f"name={name}"),
                *("--param", f"settings={json.dumps(told)}"),
            ],
            self.api_url,
            self.home,
            timeout_s=1500,
        )

    def flow_runs(self) -> list[FlowRun]:
        """All flow runs of the server that workers ran."""
        with (
            temporary_settings({PREFECT_API_URL: self.api_url}),
            get_client(sync_client=True) as client,
        ):
            return [run for run in client.read_flow_runs() if run.deployment_id]


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    folder = tmp_path_factory.mktemp("workers")
    with PrefectServer(folder / "server") as server, ExitStack() as stack:
        run_cli(["deploy"], server.api_url, folder / "client")
        for pool in POOLS:
            stack.enter_context(process_worker(server.api_url, pool, folder / "workers"))
        yield Workers(server.api_url, folder / "client", folder / "store")


def made_by(store: Path, run: str) -> Mapping[tuple[int, str, str], Mapping[str, str]]:
    """Digests of what the stages of a run made, by iteration, stage, subject and name."""
    return {
        (record.iteration, record.stage, record.subject): {
            ref.name: ref.digest for ref in record.artifacts
        }
        for record in RunLog(ArtifactStore.open(str(store)).objects).stages(run)
    }


@pytest.mark.timeout(3000)
def test_a_dispatched_run_makes_what_an_inline_run_makes(workers: Workers, tmp_path: Path):
    dispatch = {"execution.mode": "dispatch", "execution.rollout_workers": 2}
    workers.run("dispatched", **dispatch)
    record = RunLog(ArtifactStore.open(str(workers.store)).objects).run("dispatched")
    assert record is not None
    assert record.status == "done"

    sent = workers.flow_runs()
    assert all(run.state and run.state.is_completed() for run in sent)
    by_pool: dict[str, set[str]] = {pool: set() for pool in POOLS}
    for run in sent:
        by_pool[str(run.work_pool_name)].add(run.name)
    assert by_pool == {
        "evolve-control": {"evolve dispatched"},
        "evolve-cpu": {"construct", "cold-start", "filter", "filter 1"},
        "evolve-rollout": {
            "benchmark base",
            "benchmark cold start",
            "rollout 1, part 1 of 2",
            "rollout 1, part 2 of 2",
            "rollout 1",
            "gate best",
            "gate candidate",
            "benchmark 1",
        },
        "evolve-train": {"sft", "sft 1", "rl 1"},
    }
    # The same command again finds everything done, and sends nothing out.
    workers.run("dispatched", **dispatch)
    assert len(workers.flow_runs()) == len(sent) + 1

    inline = tmp_path / "inline"
    sizes = [f"--set={key}={value}" for key, value in SIZES.items()]
    run_cli(
        ["run", "--profile", "smoke", "--store", str(inline), "--name", "inline", *sizes],
        workers.api_url,
        workers.home,
    )
    assert made_by(workers.store, "dispatched") == made_by(inline, "inline")
