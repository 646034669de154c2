"""Real storage servers over loopback sockets, each a process of its own that ends by its id."""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx

from tasks.storage.config import StoreConfig

BUCKET = "evolvesearch"
KEYS = {"AWS_ACCESS_KEY_ID": "tests-key", "AWS_SECRET_ACCESS_KEY": "tests-secret"}

AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = base64.b64encode(b"a key that these tests make up for the emulator").decode()

NEAR = {"timeout_s": 10.0, "retry_s": 10.0, "part_mib": 5}
"""Short waits, and the smallest parts that S3 takes."""


@dataclass(frozen=True)
class StoreServer:
    """A running server.

    Attributes:
        url: Where it listens.
        base: URI of its one bucket.
        name: What it is, for the test output.
    """

    url: str
    base: str
    name: str

    def config(self, prefix: str, cache: Path, **changes: Any) -> StoreConfig:
        """How to reach a store of its own in the bucket."""
        settings: Mapping[str, Any] = {
            "uri": f"{self.base}/{prefix}",
            "endpoint": self.url,
            "cache": str(cache),
            **NEAR,
            **changes,
        }
        return StoreConfig(**settings)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def moto_server(folder: Path) -> Iterator[StoreServer]:
    """Starts moto's server, which speaks S3's protocol, with one bucket."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, url, folder / "log.txt"):
        httpx.put(f"{url}/{BUCKET}", trust_env=False).raise_for_status()
        version = importlib.metadata.version("moto")
        yield StoreServer(url, f"s3://{BUCKET}", f"S3: moto {version}, a process of its own")


def find_azurite() -> str | None:
    """The program of Azurite, an emulator of Azure's storage from npm, where it is installed."""
    return os.environ.get("EVOLVESEARCH_AZURITE") or shutil.which("azurite-blob")


@contextmanager
def azurite_server(program: str, folder: Path) -> Iterator[StoreServer]:
    """Starts Azurite with one container and one account, whose key is made up here."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/{AZURITE_ACCOUNT}"
    command = [
        program,
        *("--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)),
        *("--silent", "--skipApiVersionCheck"),
    ]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{AZURITE_ACCOUNT}:{AZURITE_KEY}"}
    with _running(command, url, folder / "log.txt", environment):
        _make_container(url)
        yield StoreServer(url, f"az://{BUCKET}", "Azure: Azurite, a process of its own")


@contextmanager
def _running(
    command: Sequence[str], url: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    try:
        _wait_for(process, url, log)
        yield
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
                raise RuntimeError(f"{process.args} did not start:\n{log.read_text()}") from None
            time.sleep(0.1)
        else:
            return


def _make_container(url: str) -> None:
    """Asks for a container, signed as Azure's shared keys want it; stores make none themselves."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    resource = f"/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/{BUCKET}\nrestype:container"
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    text = "PUT" + "\n" * 12 + lines + resource
    digest = hmac.new(base64.b64decode(AZURITE_KEY), text.encode(), hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    headers["Authorization"] = f"SharedKey {AZURITE_ACCOUNT}:{signature}"
    answer = httpx.put(f"{url}/{BUCKET}?restype=container", headers=headers, trust_env=False)
    answer.raise_for_status()
