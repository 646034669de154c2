"""The ranks of one training on this machine: started, listened to, and never left behind.

A thread listens to all ranks: each gives a sign of life every second, and the main rank says what
it has done. Whatever goes wrong (a rank dies or raises, falls silent, or no step comes) ends all of
them at once and becomes one error. Ranks are children of `accelerate launch`, a child of this
process: the kernel ends each with its parent, and a rank whose socket closes ends itself.
"""

from __future__ import annotations

import os
import queue
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from agents.errors import EvolveSearchError, RankDiedError, RankHungError, StageError
from agents.interruption import Interruption
from training.launch.config import LaunchConfig
from training.launch.deepspeed_settings import ACCELERATE_CONFIG
from training.launch.failures import Failure, worst_of
from training.launch.machines import Machines
from training.launch.wire import Message, Wire
from training.memory_limits import num_oom_kills

_POLL_S = 0.2
_GRACE_S = 2.0
"""How long after the first sign of trouble others are listened to, which may know the cause."""
_DEATH_S = 15.0
_LOG_TAIL = 8192

RANK_MODULE = "training.launch.rank"
"""What each rank runs."""


@dataclass
class _Rank:
    """One rank as this process sees it."""

    wire: Wire
    number: int
    process: int
    pidfd: int | None
    heard_at: float
    has_begun: bool = False
    said_bye: bool = False


class RankGroup:
    """Starts the ranks of this machine; leaving the context ends those that still run.

    Args:
        folder: The request, and where the ranks' output goes.
        launch: How many, and how long they may take.
        cpu: Whether they train on a CPU, whose cores they then share.
    """

    def __init__(self, folder: Path, launch: LaunchConfig, *, cpu: bool) -> None:
        self._folder = folder
        self._launch = launch
        self._cpu = cpu
        machines = Machines(folder, launch.machine_rank, launch.heartbeat_s)
        self._machines = machines if launch.num_machines > 1 else None
        self._ranks: dict[Wire, _Rank | None] = {}
        self._failures: list[Failure] = []
        self._messages: queue.Queue[dict[str, Any] | EvolveSearchError] = queue.Queue()
        self._interruption = Interruption()
        self._over = threading.Event()
        self._busy = True
        self._progress_at = time.monotonic()
        self._oom_kills = num_oom_kills()

    def __enter__(self) -> RankGroup:
        # A socket's path must be short, so it gets a folder of its own.
        self._home = Path(tempfile.mkdtemp(prefix="evolvesearch-"))
        self._log = self._home / "output.txt"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._home / "ranks"))
        self._listener.listen(self._launch.num_local)
        self._started_at = time.monotonic()
        try:
            with self._log.open("wb") as log:
                self._launcher = subprocess.Popen(
                    self._command(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment(),
                    process_group=0,
                )
        except BaseException:
            self._listener.close()
            shutil.rmtree(self._home)
            raise
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._end_all()
        if error is not None:
            self._show_log()
        for wire, rank in self._ranks.items():
            wire.close()
            if rank is not None and rank.pidfd is not None:
                os.close(rank.pidfd)
        self._listener.close()
        shutil.rmtree(self._home)

    def next_message(self) -> dict[str, Any]:
        """Waits for what the main rank says next.

        Raises:
            EvolveSearchError: Why the ranks have ended.
        """
        self._progress_at = time.monotonic()
        self._busy = False
        message = self._messages.get()
        self._busy = True
        if isinstance(message, EvolveSearchError):
            raise message
        return message

    @property
    def interruption(self) -> Interruption:
        """For a block of rollouts, which the end of the ranks ends with the same error."""
        return self._interruption

    def answer(self, message: Message) -> None:
        """Tells the main rank something; one that is gone is noticed elsewhere."""
        for wire, rank in list(self._ranks.items()):
            if rank is not None and rank.number == 0:
                with suppress(OSError):
                    wire.send(message)

    def wait(self) -> None:
        """Waits for the ranks of a machine without a driver to end.

        Raises:
            EvolveSearchError: Why they have ended before the training was done.
        """
        while self._launcher.poll() is None or self._failures:
            with suppress(queue.Empty):
                message = self._messages.get(timeout=_POLL_S)
                if isinstance(message, EvolveSearchError):
                    raise message

    def finish(self) -> None:
        """Waits for all ranks to end of themselves.

        Raises:
            RankHungError: They do not.
        """
        try:
            self._launcher.wait(self._launch.heartbeat_s)
        except subprocess.TimeoutExpired as error:
            raise RankHungError(
                f"the ranks had trained the policy, but did not end within "
                f"{self._launch.heartbeat_s:.0f} s"
            ) from error

    def _command(self) -> list[str]:
        launch = self._launch
        place = ["--main_process_port", str(launch.port)]
        if launch.address is not None:
            place += ["--main_process_ip", launch.address]
        return [
            *(sys.executable, "-P", "-m", "training.launch.launcher", str(os.getpid())),
            *("--config_file", str(ACCELERATE_CONFIG)),
            *("--num_processes", str(launch.num_processes)),
            *("--num_machines", str(launch.num_machines)),
            *("--machine_rank", str(launch.machine_rank), *place),
            *("--module", RANK_MODULE, str(self._folder.absolute()), str(self._home / "ranks")),
        ]

    def _environment(self) -> dict[str, str]:
        paths = [path or os.getcwd() for path in sys.path]
        environment = {
            "TOKENIZERS_PARALLELISM": "false",
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
        }
        if self._cpu:
            cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
            environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // self._launch.num_local)))
        if self._launch.num_machines == 1 and sys.platform == "linux":
            # They talk to each other on this machine alone, whatever its name resolves to.
            environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
        return environment

    # From here on: the listening thread.

    def _supervise(self) -> None:
        try:
            self._listen()
        except BaseException as error:
            # Whoever waits for a message has to learn that there will be none.
            self._messages.put(StageError(f"the ranks are no longer watched: {error!r}"))
            raise

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ, None)
            while not self._over.is_set():
                for key, _ in selector.select(_POLL_S):
                    if key.data is None:
                        wire = Wire(self._listener.accept()[0])
                        self._ranks[wire] = None
                        selector.register(wire, selectors.EVENT_READ, wire)
                    else:
                        self._hear(key.data, selector)
                self._look()
                if self._failures and self._is_time_to_tell():
                    error = worst_of(self._failures, self._launcher.poll(), self._oom_kills)
                    if self._machines is not None:
                        self._machines.tell(error)
                    self._end_all()
                    self._messages.put(error)
                    self._interruption.interrupt(error)
                    return

    def _hear(self, wire: Wire, selector: selectors.BaseSelector) -> None:
        messages, rank, now = wire.read(), self._ranks[wire], time.monotonic()
        if messages is None:
            selector.unregister(wire)
            if rank is not None and not rank.said_bye:
                died = f"rank {rank.number} (process {rank.process}) died without a word"
                self._failures.append(Failure(RankDiedError(died), now, rank.number))
                rank.said_bye = True
            return
        for message in messages:
            if message["event"] == "hello":
                process = message["process"]
                rank = _Rank(wire, message["rank"], process, _pidfd_of(process), now)
                self._ranks[wire] = rank
            assert rank is not None
            rank.heard_at = now
            if message["event"] == "error":
                rank.said_bye = True
                self._failures.append(Failure.of_message(message, now, rank.number))
            elif message["event"] == "bye":
                rank.said_bye = True
            elif message["event"] == "begin":
                rank.has_begun = True
                self._progress_at = now
            elif message["event"] not in ("hello", "beat"):
                self._progress_at = now
                self._messages.put(message)

    def _look(self) -> None:
        now, launch = time.monotonic(), self._launch
        elsewhere = self._machines.look() if self._machines is not None else None
        if elsewhere is not None and not self._failures:
            self._failures.append(Failure(elsewhere, now, None))
        there = [rank for rank in self._ranks.values() if rank is not None]
        code = self._launcher.poll()
        if code is not None and not self._failures:
            if len(there) < launch.num_local or not all(rank.said_bye for rank in there):
                ended = f"the launcher of the ranks ended with exit code {code}"
                self._failures.append(Failure(RankDiedError(ended), now, None))
            return
        silent = [r for r in there if not r.said_bye and now - r.heard_at > launch.heartbeat_s]
        if silent:
            hung = f"rank {silent[0].number} gave no sign of life for {launch.heartbeat_s:.0f} s"
            self._failures.append(Failure(RankHungError(hung), now, silent[0].number))
        elif sum(rank.has_begun for rank in there) < launch.num_local:
            if now - self._started_at > launch.start_s:
                late = (
                    f"{len(there)} of {launch.num_local} ranks were there, and training had not "
                    f"begun after {launch.start_s:.0f} s (training.launch.start_s)"
                )
                self._failures.append(Failure(RankHungError(late), now, None))
        elif not self._busy and now - self._progress_at > launch.timeout_s:
            stuck = (
                f"the ranks live, but nothing came of them for {launch.timeout_s:.0f} s "
                "(training.launch.timeout_s)"
            )
            self._failures.append(Failure(RankHungError(stuck), now, None))

    def _is_time_to_tell(self) -> bool:
        hung = any(isinstance(failure.error, RankHungError) for failure in self._failures)
        return hung or time.monotonic() - self._failures[0].at > _GRACE_S

    def _end_all(self) -> None:
        """Kills what still runs, and returns when it is gone."""
        with suppress(ProcessLookupError):
            if self._launcher.poll() is None:
                os.killpg(self._launcher.pid, signal.SIGKILL)
        self._launcher.wait()
        ranks = [rank for rank in self._ranks.values() if rank is not None]
        for rank in ranks:
            _kill(rank)
        until = time.monotonic() + _DEATH_S
        for rank in ranks:
            while _runs(rank):
                if time.monotonic() > until:
                    raise StageError(f"rank {rank.number} (process {rank.process}) does not die")
                time.sleep(0.02)

    def _show_log(self) -> None:
        """Adds the ranks' last words to this process's own log."""
        text = self._log.read_bytes()[-_LOG_TAIL:].decode(errors="replace")
        sys.stderr.write(f"The ranks' last output:\n{text}\n")


def _pidfd_of(process: int) -> int | None:
    """A descriptor that means this very process; None where it is gone, or the system has none."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(process)
    except ProcessLookupError:
        return None


def _kill(rank: _Rank) -> None:
    with suppress(ProcessLookupError):
        if rank.pidfd is not None:
            signal.pidfd_send_signal(rank.pidfd, signal.SIGKILL)
        else:
            os.kill(rank.process, signal.SIGKILL)


def _runs(rank: _Rank) -> bool:
    if rank.pidfd is not None:  # readable once the process has ended
        with selectors.DefaultSelector() as selector:
            selector.register(rank.pidfd, selectors.EVENT_READ)
            return not selector.select(0)
    try:
        os.kill(rank.process, 0)
    except ProcessLookupError:
        return False
    return True
