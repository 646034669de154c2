"""Runs one server and ends it, with all its processes, when whoever asked for it is gone.

Started as a file of its own, in a session of its own:

    python guardian.py COMMAND ARGUMENT…

Standard input is a pipe that its starter keeps open; at a byte from it, at its end, at SIGTERM, or
when the server ends, the whole process group is ended. An end without a byte says that the starter
died: then the working folder is removed, too, since nobody else will. It needs nothing but the
standard library.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from types import FrameType

LOOK_S = 0.5
PATIENCE_S = 5.0
"""Seconds that the server has to end of its own accord."""
_PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> None:
    """Runs `command` until it ends or its starter is gone; never returns."""
    starter = os.getppid()
    orphaned = False
    ended = []

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.append(True)

    signal.signal(signal.SIGTERM, end)
    # The group's own terminal signals are its starter's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # This process has one thread, so that the child may run code of ours before it is the server.
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,  # noqa: PLW1509
    )
    while server.poll() is None and not ended and os.getppid() == starter:
        readable, _, _ = select.select([0], [], [], LOOK_S)
        if readable:
            # The pipe ends before the starter's death shows in our parent's number.
            orphaned = not os.read(0, 1)
            break
    code = server.poll()
    if code is None:
        server.terminate()
        try:
            server.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            print("guardian: the server did not end by itself", file=sys.stderr, flush=True)
    else:
        print(f"guardian: the server ended with code {code}", file=sys.stderr, flush=True)
    if orphaned or os.getppid() != starter:
        # Log and weights are in the working folder, and nobody is left to remove them.
        shutil.rmtree(os.getcwd(), ignore_errors=True)
    # The server's own helpers too, whatever became of it, and this process with them.
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _die_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
