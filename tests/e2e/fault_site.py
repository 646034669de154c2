"""A server with workers whose parts can be killed, and a look at what is left of a flow run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Cancelling
from prefect_services import ROOT, PrefectServer, process_worker

from deployments.prefect.automations import ensure_automation
from deployments.prefect.manifest import TAG, Deployment, WorkPool, read_manifest
from deployments.prefect.pools import Pool, ensure_pool
from deployments.prefect.registration import ensure_deployment
from tasks.artifacts import ArtifactStore
from tasks.runs import RunLog, RunRecord, StageRecord

CONTROL, WORK = "evolve-control", "evolve-work"
_HERE = Path(__file__).parent
_RUN_ID = "PREFECT__FLOW_RUN_ID"
_STEP_S = 300.0
"""Longest that a step takes which is not the one that is measured; machines may be busy."""


class Site:
    """One server, the pools of parents and of stages, and a worker for each.

    Attributes:
        server: The server.
        client: A client of it.
    """

    def __init__(self, home: Path) -> None:
        self.server = PrefectServer(home)
        self._stack = ExitStack()
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self.client: SyncPrefectClient

    def __enter__(self) -> Site:
        enter = self._stack.enter_context
        enter(self.server)
        settings = {PREFECT_API_URL: self.server.api_url, PREFECT_HOME: self.server.home}
        enter(temporary_settings(settings))
        self.client = enter(get_client(sync_client=True))
        self._install()
        for pool in (CONTROL, WORK):
            self.start_worker(pool)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _install(self) -> None:
        for role, name in (("control", CONTROL), ("cpu", WORK)):
            ensure_pool(self.client, Pool(role, name), dry_run=False)
        ensure_automation(self.client, dry_run=False)
        for deployment in read_manifest():
            is_stage = deployment.entrypoint.startswith("flows.stages.")
            is_smoke = deployment.entrypoint == "flows.evolve.evolve" and deployment.name == "smoke"
            if is_stage or is_smoke:
                pool = CONTROL if is_smoke else WORK
                ensure_deployment(self.client, deployment, pool, dry_run=False)
        self.deploy("waiting_flows.waiting_run", "run", CONTROL)
        self.deploy("waiting_flows.waiting", "stage", WORK)

    def deploy(self, entrypoint: str, name: str, pool: str) -> None:
        """Makes a deployment of a flow of the tests."""
        deployment = Deployment(
            name=name,
            description="of a test",
            entrypoint=entrypoint,
            version="1",
            tags=[TAG],
            enforce_parameter_schema=True,
            parameters={},
            work_pool=WorkPool(name=pool),
        )
        ensure_deployment(self.client, deployment, pool, dry_run=False)

    def start_worker(self, pool: str) -> None:
        """Starts a worker of a pool, beside or in place of the one before."""
        environment = {"PYTHONPATH": f"{ROOT}{os.pathsep}{_HERE}", "OMP_NUM_THREADS": "1"}
        self._workers[pool] = self._stack.enter_context(
            process_worker(self.server.api_url, pool, self.server.home, environment)
        )

    def end_worker(self, pool: str, number: signal.Signals) -> None:
        """Sends a signal to the worker of a pool alone, and waits for its end."""
        self._workers[pool].send_signal(number)
        self._workers[pool].wait(_STEP_S)

    def start(self, deployment: str, **parameters: Any) -> FlowRun:
        """Starts a flow run of a deployment."""
        found = self.client.read_deployment_by_name(deployment)
        return self.client.create_flow_run_from_deployment(found.id, parameters=parameters)

    def children(self, parent: FlowRun) -> list[FlowRun]:
        """The flow runs that a parent has sent out, the oldest first."""
        wanted = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent.id]))
        found = self.client.read_flow_runs(flow_run_filter=wanted)
        return sorted(
            (run for run in found if run.deployment_id is not None),
            key=lambda run: run.expected_start_time or run.created,
        )

    def state(self, flow_run: FlowRun) -> str:
        """Name of the state that a flow run is in."""
        return str(self.client.read_flow_run(flow_run.id).state_name)

    def wait_for_state(self, flow_run: FlowRun, *names: str, within_s: float = _STEP_S) -> float:
        """Waits until a flow run is in one of some states; gives the seconds that took."""
        return wait_until(
            lambda: self.state(flow_run) in names,
            within_s,
            lambda: f"{flow_run.name} is {self.state(flow_run)}, not {names}",
        )

    def cancel(self, flow_run: FlowRun) -> None:
        """Cancels a flow run as the UI does."""
        self.client.set_flow_run_state(flow_run.id, Cancelling())


class Run:
    """One run of the waiting flow: its store, its record, its processes."""

    def __init__(self, site: Site, store: Path, name: str = "faulty") -> None:
        self.site = site
        self.store = store
        self.name = name
        self.objects = ArtifactStore.open(store).objects

    def start(self) -> FlowRun:
        """Starts the run, or goes on with it."""
        config = {
            "profile": "smoke",
            "store": {"uri": str(self.store)},
            "execution": {"mode": "dispatch"},
        }
        return self.site.start("waiting-run/run", config=config, name=self.name)

    def wait_for_child(self, parent: FlowRun, number: int = 1) -> FlowRun:
        """Waits until the parent's n-th child is in the midst of its stage."""

        def at_work() -> bool:
            children = self.site.children(parent)
            return len(children) >= number and any(
                b"multiprocess" in line or b"heavy" in line
                for line in map(_command, processes_of(children[number - 1]))
            )

        wait_until(at_work, _STEP_S, lambda: f"the children: {self.site.children(parent)}")
        wait_until(lambda: self.stage_status() == "running", _STEP_S, lambda: "no stage runs")
        return self.site.children(parent)[number - 1]

    def say_the_word(self) -> None:
        """Lets the stage end."""
        (self.store / "word").touch()

    def record(self) -> RunRecord:
        """The run's record."""
        found = RunLog(self.objects).run(self.name)
        assert found is not None
        return found

    def stages(self) -> list[StageRecord]:
        """The records of its stages."""
        return RunLog(self.objects).stages(self.name)

    def stage_status(self) -> str:
        """Status of its one stage, empty before that began."""
        return next((stage.status for stage in self.stages()), "")


def wait_until(done: Callable[[], bool], within_s: float, what: Callable[[], str]) -> float:
    """Waits for something; gives the seconds that took.

    Raises:
        AssertionError: It did not come.
    """
    started = time.monotonic()
    while not done():
        assert time.monotonic() - started < within_s, f"{within_s:.0f} s have passed: {what()}"
        time.sleep(0.1)
    return time.monotonic() - started


def processes_of(flow_run: FlowRun) -> list[int]:
    """All processes of a flow run, the heavy ones included: they inherit its name."""
    mark = f"{_RUN_ID}={flow_run.id}".encode()
    return [pid for pid, environment in _environments() if mark in environment]


def flow_process(flow_run: FlowRun) -> int:
    """The process that runs the flow itself: the one that no other of its processes started."""
    found = processes_of(flow_run)
    (top,) = [pid for pid in found if _parent(pid) not in found]
    return top


def wait_for_end(flow_runs: Sequence[FlowRun], within_s: float = 30.0) -> float:
    """Waits until no process of some flow runs is left; gives the seconds that took."""
    return wait_until(
        lambda: not any(processes_of(run) for run in flow_runs),
        within_s,
        lambda: f"left: {[_command(pid) for run in flow_runs for pid in processes_of(run)]}",
    )


def _environments() -> Iterator[tuple[int, bytes]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            yield int(folder.name), (folder / "environ").read_bytes()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def digests(stages: Sequence[StageRecord]) -> Mapping[tuple[int, str, str], Mapping[str, str]]:
    """What stages made, by iteration, stage and subject."""
    return {
        (each.iteration, each.stage, each.subject): {ref.name: ref.digest for ref in each.artifacts}
        for each in stages
    }
