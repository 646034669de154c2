"""Processes in the background, and workers that are kept running: real, small processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agents.errors import StageError, UsageError
from deployments.prefect.background import Background
from deployments.prefect.server import server_environment
from deployments.prefect.workers import check_pools, worker_command, worker_environment

ROOT = Path(__file__).resolve().parents[3]
LIVES = "import time; print('ready', flush=True); time.sleep(60)"
SUPERVISED = """
import sys
from pathlib import Path
from deployments.prefect import workers
workers._PAUSE_S = 0.1
say = lambda text: print(text, flush=True)
command = [sys.executable, "-c", sys.argv[1]]
sys.exit(workers.run_workers({"pool": command}, {"OF_WORKER": "yes"}, say))
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def wait_for(file: Path, text: str) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if file.exists() and text in file.read_text():
            return file.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{text!r} never came into {file}")


def test_a_process_is_started_once_and_ended(tmp_path: Path) -> None:
    background = Background(tmp_path)
    said = background.start("one", python(LIVES), text="ready")
    pid = int(said.split("process ")[1].split(";")[0])
    try:
        # It does not end with the terminal.
        assert os.getsid(pid) == pid
        assert background.start("one", python(LIVES)) == f"one runs already, process {pid}"
        assert background.stop() == ["one ended"]
        assert background.stop() == ["nothing was started from here"]
        assert "one runs, process" in background.start("one", python(LIVES), text="ready")
        assert background.stop() == ["one ended"]
    finally:
        background.stop()


def test_a_process_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    background = Background(tmp_path)
    with pytest.raises(StageError, match=r"one ended with exit code 3; its last words: no pool"):
        background.start("one", python("import sys; print('no pool'); sys.exit(3)"), text="never")
    assert background.stop() == ["one has ended before"]


def test_another_process_of_the_same_id_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(python("import time; time.sleep(60)"))
    try:
        (tmp_path / "one.json").write_text(f'{{"pid": {other.pid}, "start": "long ago"}}')
        assert Background(tmp_path).stop() == ["one has ended before"]
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_worker_that_ends_is_started_again_and_ends_with_its_keeper(tmp_path: Path) -> None:
    starts, log = tmp_path / "starts", tmp_path / "log"
    code = (
        "import os, time; from pathlib import Path\n"
        f"starts = Path({str(starts)!r})\n"
        "first = not starts.exists()\n"
        "with starts.open('a') as file:\n"
        "    file.write(f\"{os.getpid()} {os.getsid(0) == os.getpid()} {os.environ['OF_WORKER']}\\n\")\n"
        "time.sleep(0 if first else 60)\n"
    )
    with log.open("w") as out:
        keeper = subprocess.Popen(
            python(SUPERVISED, code),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=out,
            start_new_session=True,
        )
    try:
        wait_for(log, "the worker of pool ended (exit code 0); starting it again")
        until = time.monotonic() + 60
        while len(lines := starts.read_text().splitlines()) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert [line.split()[1:] for line in lines] == [["True", "yes"]] * 2
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(60) == 128 + signal.SIGTERM
        assert "ending the workers" in log.read_text()
        with pytest.raises(ProcessLookupError):
            os.kill(int(lines[1].split()[0]), 0)
    finally:
        keeper.kill()
        keeper.wait()


def test_workers_look_for_runs_each_second_and_show_their_jobs_the_accelerators() -> None:
    given = {"PATH": "/bin", "PREFECT_API_URL": "http://old/api", "CUDA_VISIBLE_DEVICES": "0"}
    made = worker_environment(given, "http://new/api", gpus="2,3")
    assert made["PREFECT_WORKER_QUERY_SECONDS"] == "1"
    assert (made["PREFECT_API_URL"], made["CUDA_VISIBLE_DEVICES"]) == ("http://new/api", "2,3")
    assert worker_environment(given, "http://new/api", None)["CUDA_VISIBLE_DEVICES"] == "0"
    slower = worker_environment({"PREFECT_WORKER_QUERY_SECONDS": "5"}, "http://new/api", None)
    assert slower["PREFECT_WORKER_QUERY_SECONDS"] == "5"
    assert worker_command("pool", 2)[-2:] == ["--limit", "2"]
    assert "--limit" not in worker_command("pool", None)


def test_a_pool_that_is_missing_is_named_before_a_worker_makes_it() -> None:
    class Client:
        def read_work_pools(self) -> list[object]:
            return [type("Pool", (), {"name": "evolve-cpu"})()]

    check_pools(Client(), ["evolve-cpu"])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"no work pool 'gpu' \(there: evolve-cpu\)"):
        check_pools(Client(), ["evolve-cpu", "gpu"])  # type: ignore[arg-type]


def test_the_servers_settings_can_be_overridden_but_not_its_place() -> None:
    name = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL"
    made = server_environment({name: "3", "PREFECT_SERVER_API_PORT": "1"}, "127.0.0.1", 4711)
    assert made[name] == "3"
    # Without this the UI asks port 4200.
    assert made["PREFECT_SERVER_API_PORT"] == "4711"
    assert made["PREFECT_UI_ENABLED"] == "true"
    assert server_environment({}, "127.0.0.1", 4711)[name] == "10"
