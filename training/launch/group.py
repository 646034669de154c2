"""The ranks of one training on this machine: started, listened to, and never left behind.

A thread listens to all ranks: each gives a sign of life every second, and the main rank says what
it has done. Whatever goes wrong (`watch.py`) ends all of them at once and becomes one error. Ranks
are children of `accelerate launch`, a child of this process: the kernel ends each with its parent,
and a rank whose socket closes ends itself.
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
from pathlib import Path
from types import TracebackType

from agents.errors import EvolveSearchError, RankHungError, StageError
from agents.interruption import Interruption
from training.launch.config import LaunchConfig
from training.launch.failures import worst_of
from training.launch.machines import Machines
from training.launch.start import launch_command, launch_environment
from training.launch.watch import Watch
from training.launch.wire import Message, Wire
from training.memory_limits import num_oom_kills

_POLL_S = 0.2
_DEATH_S = 15.0
_LOG_TAIL = 8192


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
        self._messages: queue.Queue[Message | EvolveSearchError] = queue.Queue()
        self._interruption = Interruption()
        self._over = threading.Event()
        self._oom_kills = num_oom_kills()

    def __enter__(self) -> RankGroup:
        # A socket's path must be short, so it gets a folder of its own.
        self._home = Path(tempfile.mkdtemp(prefix="evolvesearch-"))
        self._log = self._home / "output.txt"
        path = self._home / "ranks"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(self._launch.num_local)
        self._watch = Watch(self._launch)
        try:
            with self._log.open("wb") as log:
                self._launcher = subprocess.Popen(
                    launch_command(self._folder, path, self._launch),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=launch_environment(self._launch, cpu=self._cpu),
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
        self._watch.close()
        self._listener.close()
        shutil.rmtree(self._home)

    def next_message(self) -> Message:
        """Waits for what the main rank says next.

        Raises:
            EvolveSearchError: Why the ranks have ended.
        """
        self._watch.begin_waiting()
        message = self._messages.get()
        self._watch.end_waiting()
        if isinstance(message, EvolveSearchError):
            raise message
        return message

    @property
    def interruption(self) -> Interruption:
        """For a block of rollouts, which the end of the ranks ends with the same error."""
        return self._interruption

    def answer(self, message: Message) -> None:
        """Tells the main rank something; one that is gone is noticed elsewhere."""
        for member in self._watch.members:
            if member.rank == 0:
                with suppress(OSError):
                    member.wire.send(message)

    def wait(self) -> None:
        """Waits for the ranks of a machine without a driver to end.

        Raises:
            EvolveSearchError: Why they have ended before the training was done.
        """
        while self._launcher.poll() is None or self._watch.failures:
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

    # From here on: the listening thread.

    def _supervise(self) -> None:
        try:
            self._listen()
        except BaseException as error:
            # Whoever waits for a message has to learn that there will be none.
            self._tell(StageError(f"the ranks are no longer watched: {error!r}"))
            raise

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ, None)
            while not self._over.is_set():
                for key, _ in selector.select(_POLL_S):
                    wire: Wire | None = key.data
                    if wire is None:
                        wire = Wire(self._listener.accept()[0])
                        self._watch.greet(wire)
                        selector.register(wire, selectors.EVENT_READ, wire)
                        continue
                    messages = self._watch.hear(wire)
                    if messages is None:
                        selector.unregister(wire)
                    for message in messages or ():
                        self._messages.put(message)
                elsewhere = self._machines.look() if self._machines is not None else None
                self._watch.look(self._launcher.poll(), elsewhere)
                if self._watch.is_time_to_tell():
                    failures, code = self._watch.failures, self._launcher.poll()
                    error = worst_of(failures, code, self._oom_kills)
                    if self._machines is not None:
                        self._machines.tell(error)
                    self._end_all()
                    self._tell(error)
                    return

    def _tell(self, error: EvolveSearchError) -> None:
        """Ends whatever the driver does: it waits for the ranks, or samples for them."""
        self._messages.put(error)
        self._interruption.interrupt(error)

    def _end_all(self) -> None:
        """Kills what still runs, and returns when it is gone."""
        with suppress(ProcessLookupError):
            if self._launcher.poll() is None:
                os.killpg(self._launcher.pid, signal.SIGKILL)
        self._launcher.wait()
        members = self._watch.members
        for member in members:
            member.kill()
        until = time.monotonic() + _DEATH_S
        for member in members:
            while member.runs():
                if time.monotonic() > until:
                    raise StageError(f"{member} does not die")
                time.sleep(0.02)

    def _show_log(self) -> None:
        """Adds the ranks' last words to this process's own log."""
        text = self._log.read_bytes()[-_LOG_TAIL:].decode(errors="replace")
        sys.stderr.write(f"The ranks' last output:\n{text}\n")
