"""Functions that the tests of heavy work run in children."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agents.errors import EngineError
from agents.progress import progress
from tasks.heavy.run import run_heavy

Emit = Callable[[Mapping[str, Any]], None]


def echo(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    emit({"event": "step", "step": 1})
    print("seen in the log only")
    with progress("counting", total=3, unit="numbers") as bar:
        for _ in range(3):
            bar.advance(detail="on")
    return {
        "payload": payload,
        "pid": os.getpid(),
        "group": os.getpgrp(),
        "torch": "torch" in sys.modules,
        "cwd": os.getcwd(),
        "variable": os.environ.get("HEAVY_TEST"),
    }


def allocator(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    # What the server started with, raw: glibc splits its own entry in place as it reads it.
    started_with = Path(f"/proc/{os.getppid()}/environ").read_bytes()
    return {
        "started_with": started_with.decode(errors="replace"),
        "passed_on": os.environ.get("GLIBC_TUNABLES"),
    }


def files_that_hold(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    text = os.environ["HEAVY_TEST"].encode()
    files = [path for path in Path(payload["folder"]).rglob("*") if path.is_file()]
    return {"found": [str(path) for path in files if text in path.read_bytes()]}


def typed(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    raise EngineError("model x has no weights")


def untyped(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    raise ValueError("first line\nsecond line")


def warn(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    logging.getLogger("tasks.checkpoints").info("not worth a line")
    logging.getLogger("tasks.checkpoints").warning("checkpoint %s is not used", "c1")
    logging.getLogger("elsewhere").warning("a library's own business")
    return {}


def out_of_memory(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    import torch

    return {"size": torch.empty(1 << 50).numel()}


def crash(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)
    return {}


def leave(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    os._exit(5)


def linger(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Starts a child of its own, says both ids, and waits for its end."""
    own = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pids = [os.getpid(), own.pid]
    emit({"event": "pids", "pids": pids})
    if "file" in payload:
        Path(payload["file"] + ".part").write_text(" ".join(map(str, pids)))
        Path(payload["file"] + ".part").rename(payload["file"])
    time.sleep(600)
    return {}


def hang(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSTOP)
    return {}


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def wait_until_dead(pids: list[int], timeout_s: float = 20.0) -> list[int]:
    """Waits for processes to end; returns those that have not."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until and any(map(is_alive, pids)):
        time.sleep(0.05)
    return [pid for pid in pids if is_alive(pid)]


if __name__ == "__main__":
    # A parent to be killed: its child writes its ids to the file and lingers.
    run_heavy("heavy_entries:linger", {"file": sys.argv[1]}, description="lingering")
