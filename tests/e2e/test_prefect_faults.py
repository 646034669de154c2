"""The fault matrix of dispatched runs: a real server, real process workers, and what is killed.

Each run comes to the right state within a stated time, no process of it is left, and the same
run started again goes on from the store. `docs/reliability.md` has the table.

The tests share one server and stand in an order: what an automation ends after 90 s is begun in the
first test and looked at in the last but one.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fault_site import (
    CONTROL,
    WORK,
    Run,
    Site,
    digests,
    flow_process,
    processes_of,
    wait_for_end,
    wait_until,
)
from prefect.client.schemas.objects import FlowRun
from prefect.states import Running
from prefect_services import run_cli
from survived import note, record_survived

from deployments.prefect.automations import SILENCE_S
from deployments.prefect.pools import Pool, ensure_pool
from deployments.prefect.state import PoolState, read_prefect
from tasks.leases import is_held
from tasks.run_owner import owner_of_run
from tasks.runs import RunLog

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc"),
]

CRASH_S = 30.0
"""From a kill that a worker sees to the state that tells of it; 1 s on an idle machine."""
CANCEL_S = 60.0
"""From a cancel to the end of the last child; some 20 s on an idle machine."""
ZOMBIE_S = SILENCE_S + 60.0
"""From a kill that nobody sees to the state that tells of it; 91 s on an idle machine."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def run(site: Site, tmp_path: Path) -> Run:
    site.ensure_workers()
    return Run(site, tmp_path / "store")


def finish(run: Run, parent: FlowRun) -> None:
    """Lets the run's stage end, and checks that all of it is done and nothing is left."""
    run.say_the_word()
    run.site.wait_for_state(parent, "Completed")
    wait_for_end([parent, *run.site.children(parent)])
    check_done(run)


def check_done(run: Run) -> None:
    assert run.record().status == "done"
    (stage,) = run.stages()
    assert stage.status == "done"
    assert len(stage.artifacts) == 1
    assert owner_of_run(run.objects, run.name) is None
    for path in run.objects.paths("leases"):
        assert not is_held(run.objects, path.split("/")[1])


def tell(what: str, seconds: float) -> None:
    record_survived("faults of workers")
    note(f"{what}: {seconds:.1f} s")


@dataclass
class Zombies:
    """Two runs whose workers and flow processes were killed before any other test.

    Attributes:
        left: One whose stage was killed with its worker; its own process lives.
        lost: One of which everything was killed.
        killed_at: When the last of them was killed.
    """

    left: tuple[Run, FlowRun]
    lost: tuple[Run, FlowRun]
    killed_at: datetime

    def age_s(self, moment: datetime) -> float:
        """Seconds from the kill to a moment."""
        return (moment - self.killed_at).total_seconds()


@pytest.fixture(scope="module")
def zombies(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Zombies:
    """Ends the worker of stages by SIGTERM, kills that of runs, and one of its runs."""
    runs = [Run(site, tmp_path_factory.mktemp(name) / "store", name) for name in ("left", "lost")]
    parents = [run.start() for run in runs]
    children = [run.wait_for_child(parent) for run, parent in zip(runs, parents, strict=True)]
    site.end_worker(CONTROL, signal.SIGKILL)
    lost = flow_process(parents[1])
    os.kill(lost, signal.SIGKILL)
    site.end_worker(WORK, signal.SIGTERM)
    killed_at = datetime.now(UTC)
    # A worker that is ended takes its flows with it, and their children.
    wait_for_end([*children, parents[1]])
    assert processes_of(parents[0]), "a run outlives the worker that started it"
    for pool in (CONTROL, WORK):
        site.start_worker(pool)
    return Zombies((runs[0], parents[0]), (runs[1], parents[1]), killed_at)


@pytest.fixture(scope="module")
def silent(site: Site) -> FlowRun:
    """A run that is Running and was never heard of; another waits in its pool without worker."""
    ensure_pool(site.client, Pool("train", "evolve-idle"), dry_run=False)
    site.deploy("waiting_flows.waiting", "idle", "evolve-idle")
    runs = [
        site.start("waiting/idle", config={"store": {"uri": "/none"}}, context={"run": "none"})
        for _ in range(2)
    ]
    site.client.set_flow_run_state(runs[0].id, Running(), force=True)
    return runs[0]


def test_a_worker_that_is_ended_takes_its_flows_along(
    site: Site, zombies: Zombies, silent: FlowRun
) -> None:
    assert site.state(silent) == "Running"
    for run, parent in (zombies.left, zombies.lost):
        assert site.state(site.children(parent)[-1]) == "Running"
        assert run.record().status == "running"


def test_a_killed_flow_process_is_replaced(site: Site, run: Run) -> None:
    parent = run.start()
    first = run.wait_for_child(parent)
    os.kill(flow_process(first), signal.SIGKILL)
    seconds = site.wait_for_state(first, "Crashed", within_s=CRASH_S)
    wait_for_end([first])
    second = run.wait_for_child(parent)
    finish(run, parent)
    assert [site.state(child) for child in (first, second)] == ["Crashed", "Completed"]
    tell("flow process SIGKILL, to Crashed", seconds)


def test_a_killed_worker_leaves_its_flows_at_work(site: Site, run: Run) -> None:
    parent = run.start()
    child = run.wait_for_child(parent)
    site.end_worker(WORK, signal.SIGKILL)
    started = time.monotonic()
    finish(run, parent)
    tell("worker SIGKILL, to the end of its flow", time.monotonic() - started)
    assert site.children(parent)[-1].id == child.id
    assert site.state(child) == "Completed"


def test_a_cancelled_parent_takes_its_children_along(site: Site, run: Run) -> None:
    parent = run.start()
    child = run.wait_for_child(parent)
    site.cancel(parent)
    started = time.monotonic()
    site.wait_for_state(parent, "Cancelled", within_s=CANCEL_S)
    site.wait_for_state(child, "Cancelled", within_s=CANCEL_S)
    wait_for_end([parent, child], CANCEL_S)
    tell("cancelled parent, to the end of the last child", time.monotonic() - started)
    assert (run.record().status, run.stage_status()) == ("stopped", "stopped")
    finish(run, run.start())


def test_a_cancelled_child_stops_its_parent(site: Site, run: Run) -> None:
    parent = run.start()
    child = run.wait_for_child(parent)
    site.cancel(child)
    started = time.monotonic()
    site.wait_for_state(child, "Cancelled", within_s=CANCEL_S)
    site.wait_for_state(parent, "Failed", within_s=CRASH_S)
    wait_for_end([parent, child])
    tell("cancelled child, to the end of its parent", time.monotonic() - started)
    record = run.record()
    assert (record.status, run.stage_status()) == ("stopped", "stopped")
    assert "was cancelled" in record.error
    finish(run, run.start())


def test_the_children_of_a_crashed_parent_are_cancelled(site: Site, run: Run) -> None:
    parent = run.start()
    child = run.wait_for_child(parent)
    os.kill(flow_process(parent), signal.SIGKILL)
    started = time.monotonic()
    site.wait_for_state(parent, "Crashed", within_s=CRASH_S)
    site.wait_for_state(child, "Cancelled", within_s=CANCEL_S)
    wait_for_end([parent, child])
    tell("parent SIGKILL, to the end of the last child", time.monotonic() - started)
    # Nobody was left to write more of the run; its stage was told to end, and said so.
    assert (run.record().status, run.stage_status()) == ("running", "stopped")
    finish(run, run.start())


def test_two_runs_of_one_name_compute_once(site: Site, run: Run) -> None:
    first = run.start()
    child = run.wait_for_child(first)
    second = run.start()
    site.wait_for_state(second, "Running")
    finish(run, first)
    site.wait_for_state(second, "Completed")
    wait_for_end([second])
    assert site.children(second) == []
    assert site.state(child) == "Completed"
    check_done(run)
    record_survived("faults of workers")


def test_a_restart_of_the_server_goes_unnoticed(site: Site, run: Run) -> None:
    parent = run.start()
    child = run.wait_for_child(parent)
    started = time.monotonic()
    site.server.stop()
    # The stage ends while nobody can be told.
    run.say_the_word()
    wait_until(lambda: run.stage_status() == "done", 60.0, run.stage_status)
    site.server.start()
    seconds = time.monotonic() - started
    finish(run, parent)
    assert site.children(parent)[-1].id == child.id
    assert site.state(child) == "Completed"
    tell("server restart, away for", seconds)


def test_what_nobody_ended_is_crashed_by_the_automation(site: Site, zombies: Zombies) -> None:
    run, parent = zombies.lost
    assert read_prefect(site.server.api_url).zombie_automations
    child = site.children(parent)[-1]
    left = ZOMBIE_S - zombies.age_s(datetime.now(UTC))
    for each in (parent, child):
        site.wait_for_state(each, "Crashed", within_s=max(left, 1.0))
    ends = [site.client.read_flow_run(each.id).end_time for each in (parent, child)]
    tell("everything killed, to Crashed", max(zombies.age_s(end) for end in ends if end))
    assert max(zombies.age_s(end) for end in ends if end) < ZOMBIE_S
    finish(run, run.start())


def test_a_run_sends_out_anew_what_the_automation_crashed(site: Site, zombies: Zombies) -> None:
    run, parent = zombies.left
    finish(run, parent)
    *_, first, second = site.children(parent)
    assert [site.state(each) for each in (first, second)] == ["Crashed", "Completed"]
    end = site.client.read_flow_run(first.id).end_time
    assert end is not None
    tell("worker SIGTERM, to Crashed", zombies.age_s(end))


def test_status_sees_pools_late_runs_and_zombies(site: Site, run: Run, silent: FlowRun) -> None:
    wait_until(lambda: pools_of(site)["evolve-idle"].late == 1, 60.0, lambda: str(pools_of(site)))
    # The server takes no time but its own for that of a state. What had been heard of and fell
    # silent is crashed by the automation meanwhile.
    wait_until(
        lambda: zombies_of(site) == [str(silent.id)],
        SILENCE_S + 60.0,
        lambda: f"the zombies are {zombies_of(site)}",
    )
    state = read_prefect(site.server.api_url)
    assert state.server_version == state.client_version
    idle = pools_of(site)["evolve-idle"]
    assert (idle.workers, idle.late, idle.running) == ((), 1, 1)
    for pool in (CONTROL, WORK):
        assert pools_of(site)[pool].workers
    output = run_cli(["doctor", "--json"], site.server.api_url, site.server.home)
    checks = {check["name"]: check for check in json.loads(output)["checks"]}
    assert checks["prefect"]["status"] == "ok"
    assert checks["zombie automation"]["status"] == "ok"
    assert checks["zombies"]["hint"] == f"prefect flow-run cancel {silent.id}"
    assert checks["pool evolve-idle"]["hint"] == "evolvesearch worker evolve-idle"


def zombies_of(site: Site) -> list[str]:
    return [zombie.id for zombie in read_prefect(site.server.api_url).zombies]


def pools_of(site: Site) -> dict[str, PoolState]:
    return {pool.name: pool for pool in read_prefect(site.server.api_url).pools}


@pytest.mark.assets
def test_a_run_through_faults_comes_to_the_same_bits(site: Site, tmp_path: Path) -> None:
    """Profile smoke: a flow process killed in SFT, a worker in rollouts, the server restarted."""
    from flows.evolve import run_evolution
    from flows.profiles import load_profile

    settings = {
        "benchmark.num_questions": 1,
        "rl.enabled": False,
        "gate.rule": "off",
    }
    undisturbed = load_profile("smoke", {**settings, "store.uri": str(tmp_path / "whole")})
    run_evolution(undisturbed, "undisturbed")
    site.ensure_workers()
    faulty = Run(site, tmp_path / "store")
    parent = site.start(
        "evolve/smoke",
        name=faulty.name,
        settings={
            **settings,
            "execution.mode": "dispatch",
            "store.uri": str(faulty.store),
        },
    )

    def wait_for_stage(iteration: int, stage: str) -> FlowRun:
        def runs() -> bool:
            return any(
                (each.iteration, each.stage, each.status) == (iteration, stage, "running")
                for each in faulty.stages()
            )

        wait_until(runs, 240.0, lambda: f"no {stage}; {site.state(parent)}")
        return site.children(parent)[-1]

    in_sft = wait_for_stage(0, "sft")
    os.kill(flow_process(in_sft), signal.SIGKILL)
    wait_for_stage(1, "rollout")
    site.end_worker(WORK, signal.SIGKILL)
    site.start_worker(WORK)
    wait_for_stage(1, "sft")
    site.server.stop()
    site.server.start()
    site.wait_for_state(parent, "Completed", within_s=400.0)
    whole = RunLog(Run(site, tmp_path / "whole").objects).stages("undisturbed")
    assert digests(faulty.stages()) == digests(whole)
    assert site.state(in_sft) == "Crashed"
    wait_for_end([parent, *site.children(parent)])
    record_survived("faults of workers", 3)
