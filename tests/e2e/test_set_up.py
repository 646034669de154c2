"""`make server pools deploy worker-cpu` with nothing there before: a run is picked up and done."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from prefect_services import ROOT, kill_marked, prefect_environment, run_cli, run_prefect

from deployments.prefect.manifest import read_manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

_RUN_S = 900.0


class Machine:
    """A machine on which nothing was set up: its own PREFECT_HOME, its own port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "prefect"
        self.mark = uuid.uuid4().hex
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.api_url = f"http://127.0.0.1:{self.port}/api"
        self._variables = self._installed()

    def _installed(self) -> list[str]:
        """Make's variables for an environment that is installed: the one of this test."""
        made = self.folder / "venv"
        made.mkdir()
        for name in ("lib", "pyvenv.cfg"):
            (made / name).symlink_to(Path(sys.prefix) / name)
        scripts = made / "bin"
        scripts.mkdir()
        for program in Path(sys.executable).parent.iterdir():
            if program.name != "evolvesearch":
                (scripts / program.name).symlink_to(program)
        # The command of this source tree, wherever the environment's own points.
        command = scripts / "evolvesearch"
        command.write_text(
            f"#!{scripts}/python\nfrom deployments.cli.main import main\nmain()\n", "utf-8"
        )
        command.chmod(0o755)
        (made / "made").touch()
        (made / "torch-choice").write_text("cpu\n")
        time.sleep(0.01)
        (made / "installed").touch()
        return [
            f"VENV={made}",
            f"PORT={self.port}",
            f"PROCESSES={self.folder / 'processes'}",
            f"ARGS=--workdir {self.folder}",
        ]

    def make(self, *targets: str, more: Sequence[str] = ()) -> str:
        """Runs make in the source tree; returns what it printed."""
        done = subprocess.run(
            ["make", *targets, *self._variables, *more],
            cwd=ROOT,
            env=prefect_environment(
                self.home,
                more={
                    "EVOLVESEARCH_TEST_MARK": self.mark,
                    "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
                },
            ),
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "pip" not in done.stdout, done.stdout
        return done.stdout

    def state_of_run(self, identity: str) -> str:
        text = run_prefect(
            ["flow-run", "inspect", identity, "--output", "json"], self.api_url, self.home
        )
        state: str = json.loads(text)["state"]["type"]
        return state


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        try:
            made.make("stop")
        finally:
            kill_marked(made.mark)


def test_a_fresh_machine_is_set_up_by_make_and_picks_up_a_run(machine: Machine) -> None:
    said = machine.make("server", "pools", "deploy", "worker-cpu")
    assert "== server runs, process" in said
    assert "== worker-cpu runs, process" in said
    count = len(read_manifest())
    lines = [line.split() for line in said.splitlines()]
    # `pools` made the pools, and `deploy` found them as they should be.
    assert lines.count(["pool", "evolve-train", "created"]) == 1
    assert lines.count(["pool", "evolve-train", "unchanged"]) == 1
    listed = [line[1] for line in lines if line and line[0] == "deployment"]
    assert len(listed) == count
    assert {"evolve/smoke", "rollout-part/stage", "sweep/example"} <= set(listed)

    # A second time nothing is changed and nothing is started.
    again = machine.make("server", "deploy", "automations", "worker-cpu")
    assert f"Nothing to change: all {count + 5} are as they should be." in again
    assert "server runs already" in again
    assert "worker-cpu runs already" in again

    # Prefect's own command makes the same deployments of the same file.
    run_prefect(["--no-prompt", "deploy", "--all"], machine.api_url, machine.home)
    told = json.loads(
        run_cli(
            ["deploy", "--dry-run", "--json", "--workdir", str(machine.folder)],
            machine.api_url,
            machine.home,
        )
    )
    assert {change["action"] for change in told["changes"]} == {"unchanged"}, told

    settings = {
        "iterations": 0,
        "cold_start.enabled": False,
        "benchmark.num_questions": 1,
        "store.uri": "store-of-the-worker",
    }
    started = run_prefect(
        ["deployment", "run", "evolve/smoke", "--param", f"settings={json.dumps(settings)}"],
        machine.api_url,
        machine.home,
    )
    identity = next(
        line.split("UUID:")[1].strip() for line in started.splitlines() if "UUID:" in line
    )
    until = time.monotonic() + _RUN_S
    while (state := machine.state_of_run(identity)) not in ("COMPLETED", "FAILED", "CRASHED"):
        assert time.monotonic() < until, state
        time.sleep(2.0)
    log = (machine.folder / "processes" / "worker-cpu.log").read_text("utf-8", "replace")
    assert state == "COMPLETED", log[-4000:]
    # A relative store lies where jobs start, not in a temporary folder that is gone.
    assert list((machine.folder / "store-of-the-worker").glob("**/*.json"))
