"""A real Prefect server and real process workers for tests, and nothing of them left afterwards.

Every process that is started here, or by one of them, carries a mark in its environment: leaving
a context ends what it started by process id, and kills whatever still carries its mark.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]

_MARK = "EVOLVESEARCH_TEST_MARK"
_START_S = 400.0
_STOP_S = 20.0
_CLI = "import sys; from deployments.cli.main import execute; sys.exit(execute(sys.argv[1:]))"

# The recorder's defaults stall SQLite by seconds (PrefectHQ/prefect#10188).
_SERVER_SETTINGS = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "10",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def prefect_environment(
    home: Path, api_url: str | None = None, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment of a process that knows this server alone, and this source tree.

    Args:
        home: Its `PREFECT_HOME`.
        api_url: The server; None: none is named.
        more: Further variables.
    """
    clean = {key: value for key, value in os.environ.items() if "PREFECT" not in key}
    named = {} if api_url is None else {"PREFECT_API_URL": api_url}
    return {
        **clean,
        "PREFECT_HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "DO_NOT_TRACK": "1",
        **named,
        **(more or {}),
    }


class PrefectServer:
    """`prefect server start` on a free port of loopback; it can be stopped and started again."""

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        """Chooses a port; entering the context starts the server.

        Args:
            home: Its `PREFECT_HOME`, with the database; a folder of the test's own.
            settings: Settings of the server beside the usual, as environment variables.
        """
        self.home = home
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.api_url = f"http://127.0.0.1:{self.port}/api"
        self._settings = {**_SERVER_SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrefectServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> Path:
        """File with what the server printed."""
        return self.home / "server.log"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        self.home.mkdir(parents=True, exist_ok=True)
        # The UI that it serves asks the port of this setting, whatever `--port` says.
        settings = {**self._settings, "PREFECT_SERVER_API_PORT": str(self.port)}
        command = [sys.executable, "-m", "prefect", "server", "start"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port)],
                env=prefect_environment(self.home, self.api_url, settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + _START_S
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.api_url}/health", timeout=2.0).is_success:
                    return
            time.sleep(0.1)
        self.stop()
        raise AssertionError(f"the server did not start; {self.log}:\n{self.log.read_text()}")

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> None:
        """Ends the server, and waits until it is gone."""
        if self._process is not None:
            _end(self._process, sent)
            self._process = None


@contextmanager
def prefect_server(home: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Runs a server for a block and yields the URL of its API; see `PrefectServer`."""
    with PrefectServer(home, settings) as server:
        yield server.api_url


@contextmanager
def process_worker(
    api_url: str, pool: str, home: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a worker of a process pool for a block; it makes the pool where there is none.

    The flow runs of the worker end with the block, too.

    Args:
        api_url: The server.
        pool: Name of the pool.
        home: Its `PREFECT_HOME`; what it and its flow runs print is in `worker-<pool>.log` there.
        env: Further variables of its environment, which its flow runs inherit.
    """
    home.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex
    variables = {"PREFECT_WORKER_QUERY_SECONDS": "1", _MARK: mark, **(env or {})}
    command = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process"]
    with (home / f"worker-{pool}.log").open("ab") as log:
        worker = subprocess.Popen(
            [*command, "--pool", pool, "--name", f"{pool}-{mark[:6]}"],
            env=prefect_environment(home, api_url, variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield worker
    finally:
        _end(worker)
        kill_marked(mark)


def kill_marked(mark: str) -> None:
    """Kills every process whose environment carries a mark."""
    for pid in _marked(mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _marked(mark: str) -> Iterator[int]:
    text = f"{_MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if text in (folder / "environ").read_bytes():
                yield int(folder.name)


def _end(process: subprocess.Popen[bytes], sent: signal.Signals = signal.SIGTERM) -> None:
    """Ends a process and what is left of its process group."""
    process.send_signal(sent)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run_prefect(
    arguments: Sequence[str], api_url: str, home: Path, *, timeout_s: float = 300.0
) -> str:
    """Runs a `prefect` command in the source tree; returns what it printed.

    Raises:
        AssertionError: It failed.
    """
    return _run([sys.executable, "-m", "prefect", *arguments], api_url, home, timeout_s)


def run_cli(arguments: Sequence[str], api_url: str, home: Path, *, timeout_s: float = 600.0) -> str:
    """Runs an `evolvesearch` command in the source tree; returns what it printed.

    Raises:
        AssertionError: It failed.
    """
    return _run([sys.executable, "-c", _CLI, *arguments], api_url, home, timeout_s)


def _run(command: Sequence[str], api_url: str, home: Path, timeout_s: float) -> str:
    done = subprocess.run(
        command,
        env=prefect_environment(home, api_url),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
