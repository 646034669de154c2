"""Workers of several pools on one machine, each in a session of its own.

Prefect's worker ends when its server does not answer for about a minute; it is started again here.
One started with a shell's `&` ignores SIGTERM; one in a session of its own does not.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

from agents.errors import UsageError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_LOOK_S = 0.2
_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 60.0
"""Before a worker that ended is started again: at first, and at most."""
_WELL_S = 300.0
"""A worker that lived so long ended for a new reason: it is started again after the first pause."""


def check_pools(client: SyncPrefectClient, pools: Sequence[str]) -> None:
    """Makes sure that pools are there: a worker would make one without our job template.

    Raises:
        UsageError: One is not.
    """
    known = {pool.name for pool in client.read_work_pools()}
    for name in pools:
        if name not in known:
            there = f"there: {', '.join(sorted(known))}" if known else "there is none"
            raise UsageError(f"no work pool {name!r} ({there}); `evolvesearch deploy` makes pools")


def worker_environment(given: Mapping[str, str], api_url: str, gpus: str | None) -> dict[str, str]:
    """The environment of a worker, and so of the jobs of a process pool.

    Args:
        given: The environment as it is.
        api_url: The server.
        gpus: Accelerators that jobs see (`0,1`); None: as it is.
    """
    # Prefect looks for runs every 10 s otherwise.
    quick = {"PREFECT_WORKER_QUERY_SECONDS": "1", "DO_NOT_TRACK": "1"}
    seen = {} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus}
    return {**quick, **given, **seen, "PREFECT_API_URL": api_url}


def worker_command(pool: str, limit: int | None) -> list[str]:
    """The command of one worker, named after the machine."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    name = f"{socket.gethostname()} {os.getpid()}"
    command += ["--name", name, "--install-policy", "never"]
    return command if limit is None else [*command, "--limit", str(limit)]


@dataclass
class _Worker:
    command: list[str]
    process: subprocess.Popen[bytes]
    since: float = field(default_factory=time.monotonic)
    pause_s: float = _PAUSE_S
    again_at: float | None = None


def run_workers(
    commands: Mapping[str, list[str]],
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> int:
    """Keeps workers running until this process is told to end; then ends them.

    The first SIGINT, SIGTERM or SIGHUP is passed on, and ends workers and the flow runs in them;
    at the second they are killed.

    Args:
        commands: Commands by pool.
        environment: Environment of all.
        say: Where to tell what happens.

    Returns:
        128 and the number of the signal that ended it, as shells count.
    """
    got: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        got.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in numbers}
    workers = {pool: _start(command, environment) for pool, command in commands.items()}
    try:
        while not got:
            for pool, worker in workers.items():
                _look_after(pool, worker, environment, say)
            time.sleep(_LOOK_S)
        say("ending the workers and what they run; once more kills them")
        _signal(workers.values(), signal.SIGTERM)
        while any(worker.process.poll() is None for worker in workers.values()):
            if len(got) > 1:
                _signal(workers.values(), signal.SIGKILL)
            time.sleep(_LOOK_S)
    finally:
        _signal(workers.values(), signal.SIGKILL)
        for worker in workers.values():
            worker.process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 + got[0]


def _start(command: list[str], environment: Mapping[str, str]) -> _Worker:
    return _Worker(command, _popen(command, environment))


def _popen(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=dict(environment), start_new_session=True)


def _look_after(
    pool: str, worker: _Worker, environment: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Starts a worker again that has ended, after a pause that grows."""
    now = time.monotonic()
    if worker.process.poll() is None:
        return
    if worker.again_at is None:
        worker.pause_s = _PAUSE_S if now - worker.since > _WELL_S else worker.pause_s
        worker.again_at = now + worker.pause_s
        say(
            f"the worker of {pool} ended (exit code {worker.process.returncode}); starting it "
            f"again in {worker.pause_s:.0f} s"
        )
        worker.pause_s = min(2 * worker.pause_s, _LONGEST_PAUSE_S)
    elif now >= worker.again_at:
        worker.process, worker.since = _popen(worker.command, environment), now
        worker.again_at = None


def _signal(workers: Iterable[_Worker], number: int) -> None:
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.send_signal(number)
