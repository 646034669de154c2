"""The process that heavy work is forked from, with the slow imports already done.

Importing torch, transformers and trl takes many seconds; a child forked from here starts in
milliseconds instead. Started by `tasks.heavy.run` as `python -m tasks.heavy.server FD`, in a
session of its own, and given a Unix socket. Each request carries a JSON document and three
descriptors: the child's channel (events out; its end says that the parent is gone), a pipe on which
this process reports the child's exit status, and a file with payload and environment. When the
socket closes, the parent is gone: all groups of children are killed and the process ends.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.heavy import child as heavy_child

PRELOAD = (
    "torch",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "pyarrow.parquet",
    "accelerate",
    "datasets",
    "trl.trainer.sft_trainer",
    "trl.trainer.grpo_trainer",
)
"""Imported before the first request is served: a child forked earlier would do them again."""


class HeavyServer:
    """Forks children on request and reports how they end."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._status_of: dict[int, int] = {}
        """Descriptor of the status pipe of each living child."""
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def run(self) -> None:
        """Preloads and serves until the parent is gone."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write)
        with _ending_with(self._control):
            for module in PRELOAD:
                importlib.import_module(module)
        # What is shared stays shared: children's collections do not touch these pages.
        gc.freeze()
        while True:
            watched = [self._control.fileno(), self._wake_read]
            ready = select.select(watched, [], [])[0]
            if self._wake_read in ready:
                self._reap()
            if watched[0] in ready and not self._serve():
                break
        for pid in self._status_of:
            _kill_group(pid)

    def _serve(self) -> bool:
        """Serves the request that is waiting; returns whether the parent is still there."""
        data, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 3)
        if not data:
            return False
        request = json.loads(data)
        channel, status, config = descriptors
        pid = os.fork()
        if pid == 0:
            self._become_child(request, channel, status, config)
        os.close(channel)
        os.close(config)
        self._status_of[pid] = status
        _write_line(status, {"pid": pid})
        return True

    def _become_child(
        self, request: dict[str, str], channel: int, status: int, config: int
    ) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for descriptor in (status, self._wake_read, self._wake_write, *self._status_of.values()):
            os.close(descriptor)
        self._control.close()
        code = 1
        try:
            code = heavy_child.main(request, channel, config)
        finally:
            # Not sys.exit: what this process inherited from the server is not its to clean up.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        os.read(self._wake_read, 4096)
        for pid in list(self._status_of):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                # The child's own children must not outlive it.
                _kill_group(pid)
                descriptor = self._status_of.pop(pid)
                _write_line(descriptor, {"exit": os.waitstatus_to_exitcode(status)})
                os.close(descriptor)


@contextmanager
def _ending_with(control: socket.socket) -> Iterator[None]:
    """Ends this process in the midst of a block once the parent is gone.

    The thread that watches ends with the block: children are forked from a process without any.
    """
    over_read, over_write = os.pipe()
    poll = select.poll()
    poll.register(control.fileno(), 0)  # tells of its end only, not of requests that wait
    poll.register(over_read, select.POLLIN)

    def watch() -> None:
        if any(descriptor != over_read for descriptor, _ in poll.poll()):
            os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield
    os.write(over_write, b"x")
    thread.join()
    os.close(over_read)
    os.close(over_write)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _write_line(descriptor: int, value: dict[str, int]) -> None:
    try:
        os.write(descriptor, json.dumps(value).encode() + b"\n")
    except BrokenPipeError:
        # Whoever asked has stopped listening; the child is killed through its channel.
        return


def main() -> None:
    """Serves on the socket whose descriptor is the only argument."""
    HeavyServer(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
