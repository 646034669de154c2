"""The Prefect server of one run, in a process of its own: `python -m flows.prefect_server FD`.

It differs from Prefect's own temporary server in three ways: it inherits a listening socket, so
that no port can be lost between choosing and binding; it stands in a session of its own, so that
Ctrl-C reaches the run and not the server it still has to report to; and it ends when its standard
input closes, so that it never outlives the run, not even one that was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def serve(listening_fd: int) -> None:
    """Serves Prefect's API on an inherited socket until standard input closes.

    Args:
        listening_fd: File descriptor of a socket that is bound and listening.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Imported late: it takes seconds, in which a parent's end must already be noticed.
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(
        create_app(ephemeral=True, final=True), fd=listening_fd, log_level="error", lifespan="on"
    )
    uvicorn.Server(config).run()


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
