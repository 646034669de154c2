"""The server process that heavy children are forked from, as seen by the process that needs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

ALLOCATOR = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=100000000000"
"""Settings of glibc's malloc, read once as a process starts; other C libraries ignore them.

Training allocates and frees the same hundreds of megabytes each step. By default each of these
blocks is fresh memory from the kernel, faulted in and zeroed page by page. Here freed memory stays
with the process, for its short life. Huge pages are not asked for: measured, they slow the first
steps and round every block up (8.5 instead of 7.1 GiB at the peak of `laptop`).
"""


class HeavyLauncher:
    """The one server of this process, started when first needed and again where it died.

    Attributes:
        process: The server, None where none was started.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._output: IO[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = 0

    def ensure(self) -> int:
        """Starts the server where none lives; returns its process id."""
        with self._lock:
            self._ensure()
            assert self.process is not None
            return self.process.pid

    def send(self, request: Mapping[str, str], descriptors: list[int]) -> None:
        """Sends one request with its descriptors."""
        data = json.dumps(dict(request)).encode()
        with self._lock:
            try:
                socket.send_fds(self._ensure(), [data], descriptors)
            except (BrokenPipeError, ConnectionResetError):
                # It died since it was looked at; a new one takes the request.
                self._control = None
                socket.send_fds(self._ensure(), [data], descriptors)

    def last_words(self) -> str:
        """The last line that the server wrote before it died, empty where it wrote none."""
        with self._lock:
            if self._output is None:
                return ""
            self._output.seek(0)
            lines = self._output.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")

    def stop(self) -> None:
        """Closes the control socket, upon which the server kills its children and ends."""
        with self._lock:
            if self._control is not None:
                self._control.close()
            if self.process is not None and self._owner == os.getpid():
                self.process.wait()
            self._control = self.process = None

    def _ensure(self) -> socket.socket:
        lives = self.process is not None and self.process.poll() is None
        if self._control is None or not lives or self._owner != os.getpid():
            # Sequential packets keep one request one message, its descriptors with it.
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            root = str(Path(__file__).resolve().parents[2])
            inherited = os.environ.get("PYTHONPATH")
            # A file without a name: it goes when the last of the two processes goes.
            self._output = tempfile.TemporaryFile()  # noqa: SIM115
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tasks.heavy.server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._output,
                # Its own session: a Ctrl-C on the terminal is this process's to handle.
                start_new_session=True,
                env={
                    "GLIBC_TUNABLES": ALLOCATOR,  # the user's own, where set, comes after
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([root, *([inherited] if inherited else [])]),
                    # Asking the driver instead of the runtime leaves CUDA usable after the fork.
                    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
                },
            )
            theirs.close()
            self._owner = os.getpid()
        return self._control


SERVER = HeavyLauncher()
"""The launcher of this process."""
