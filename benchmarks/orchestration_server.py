"""A Prefect server with this project's pools, deployments and workers, for a measurement."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
POOLS = ("control", "cpu", "rollout", "train")
_START_S = 180.0
_STOP_S = 60.0
FLUSHED_S = 12.0
"""Seconds after which the server has written what it had gathered: its recorder waits for 10."""


class Server:
    """A server on a free port of loopback with a database of its own.

    Attributes:
        home: Its `PREFECT_HOME`.
        api_url: Its address.
        start_s: Seconds from its start to its first answer.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.api_url = f"http://127.0.0.1:{self._port}/api"
        self.start_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs it for a block."""
        self.home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "deployments.prefect.server", "--port", str(self._port)]
        started = time.perf_counter()
        with process(command, self.environment, self.home / "server.log") as server:
            self._wait(server)
            self.start_s = time.perf_counter() - started
            yield

    @property
    def environment(self) -> dict[str, str]:
        """The environment of everything that is to talk to it."""
        clean = {key: value for key, value in os.environ.items() if "PREFECT" not in key}
        return {
            **clean,
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": self.api_url,
            "PYTHONPATH": str(ROOT),
        }

    def deploy(self) -> None:
        """Makes pools, deployments and automation, as `evolvesearch deploy` does."""
        self.command(["deploy"])

    def command(self, arguments: Sequence[str]) -> None:
        """Runs an `evolvesearch` command against it."""
        subprocess.run(
            cli(*arguments), env=self.environment, cwd=ROOT, check=True, capture_output=True
        )

    @contextmanager
    def workers(self) -> Iterator[None]:
        """Runs a worker for each pool of ours during a block."""
        with process(cli("worker", *POOLS), self.environment, self.home / "workers.log"):
            self._wait_for_workers()
            yield

    def database(self) -> int:
        """Bytes of its database that hold something."""
        file = f"file:{self.home / 'prefect.db'}?mode=ro"
        with closing(sqlite3.connect(file, uri=True)) as database:
            (pages,), (free,), (size,) = (
                database.execute(f"pragma {name}").fetchone()
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def count(self, kind: str) -> int:
        """How many `flow_runs`, `task_runs` or `artifacts` it knows."""
        return int(httpx.post(f"{self.api_url}/{kind}/count", json={}, timeout=30).json())

    def _wait(self, server: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + _START_S
        while time.monotonic() < until and server.poll() is None:
            try:
                if httpx.get(f"{self.api_url}/health", timeout=2).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise SystemExit(f"the server did not start: {self.home / 'server.log'}")

    def _wait_for_workers(self) -> None:
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            if all(self._has_worker(f"evolve-{pool}") for pool in POOLS):
                return
            time.sleep(0.5)
        raise SystemExit(f"the workers did not start: {self.home / 'workers.log'}")

    def _has_worker(self, pool: str) -> bool:
        found: list[Mapping[str, Any]] = httpx.post(
            f"{self.api_url}/work_pools/{pool}/workers/filter", json={}, timeout=30
        ).json()
        return any(worker["status"] == "ONLINE" for worker in found)


def cli(*arguments: str) -> list[str]:
    """An `evolvesearch` command of this source tree."""
    code = "import sys; from deployments.cli.main import execute; sys.exit(execute(sys.argv[1:]))"
    return [sys.executable, "-c", code, *arguments]


@contextmanager
def process(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a process in a session of its own for a block, and ends it by its id."""
    with log.open("ab") as written:
        running = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
