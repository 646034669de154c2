"""A real S3 server over a loopback socket, as a process of its own."""

from __future__ import annotations

import importlib.metadata
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tasks.store_config import StoreConfig

KEYS = {"AWS_ACCESS_KEY_ID": "tests-key", "AWS_SECRET_ACCESS_KEY": "tests-secret"}
BUCKET = "evolvesearch"

PATIENCE = {"timeout_s": 10.0, "retry_s": 10.0}
"""Short waits, for servers that are near."""


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes:
        url: Where it listens.
        name: What it is, for the test output.
    """

    url: str
    name: str

    def config(self, prefix: str, cache: Path, **changes: Any) -> StoreConfig:
        """How to reach a store of its own in the one bucket."""
        settings: Mapping[str, Any] = {
            "uri": f"s3://{BUCKET}/{prefix}",
            "endpoint": self.url,
            "cache": str(cache),
            **PATIENCE,
            **changes,
        }
        return StoreConfig(**settings)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def moto_server(log: Path) -> Iterator[S3Server]:
    """Starts moto's server with one bucket, and ends it by its process id."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(process, url, log)
        httpx.put(f"{url}/{BUCKET}", trust_env=False).raise_for_status()
        yield S3Server(url, f"moto {importlib.metadata.version('moto')} (its own process)")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"moto's server did not start:\n{log.read_text()}") from None
            time.sleep(0.1)
        else:
            return
