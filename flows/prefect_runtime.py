"""What a run needs of Prefect: a server (the user's, or one for this run) and quiet logs."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from agents.errors import StageError, UsageError
from agents.progress import progress

_START_TIMEOUT_S = 180.0
"""A fresh database takes 8 to 20 s on two idle cores; a busy machine gets nine times that."""
_STOP_TIMEOUT_S = 10.0

# The recorder's default of flushing each task run at once stalls SQLite by seconds
# (PrefectHQ/prefect#10188).
SERVER_ENVIRONMENT = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "10",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_UI_ENABLED": "false",
}


@contextmanager
def prefect_session(verbose: bool = False) -> Iterator[None]:
    """Makes flows runnable in this block, and leaves nothing running behind it.

    The server of `PREFECT_API_URL`, or of Prefect's active profile, is used where one is named;
    otherwise a server is started for the block, on Prefect's usual database, so that a later
    `prefect server start` shows the same runs.

    Args:
        verbose: Show Prefect's own log lines; otherwise only its warnings.

    Raises:
        StageError: The server did not start.
    """
    from prefect.context import FlowRunContext
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if FlowRunContext.get() is not None:
        yield
        return
    with (
        _console(verbose),
        _reachable_server() as api_url,
        temporary_settings({PREFECT_API_URL: api_url}),
        # Nor does anybody watch for the heartbeat of a run that its user watches.
        without_heartbeat(),
    ):
        try:
            yield
        finally:
            _send_what_is_queued()


@contextmanager
def without_heartbeat() -> Iterator[None]:
    """Lets sub-flows run without a heartbeat of their own: their life is their parent's.

    The heartbeat's thread is joined in steps of a second at the end of each sync flow
    (PrefectHQ/prefect#19641). A flow that a worker started keeps its own, which began before.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


class _Unheard(logging.Filter):
    """Keeps flow runs' own lines, and whatever is below a warning, off the console.

    An exception in a flow is logged with its traceback, and then raised to the caller, who prints
    it once and shorter. The server still gets every line.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        is_run = record.name.startswith(("prefect.flow_runs", "prefect.task_runs"))
        return record.levelno >= logging.WARNING and not is_run


@contextmanager
def _console(verbose: bool) -> Iterator[None]:
    """Decides which of Prefect's log lines reach the console in this block."""
    from prefect.logging.configuration import ensure_logging_setup
    from prefect.logging.handlers import PrefectConsoleHandler

    ensure_logging_setup()
    unheard = _Unheard()
    consoles = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, PrefectConsoleHandler) and not verbose
    ]
    for handler in consoles:
        handler.addFilter(unheard)
    try:
        yield
    finally:
        for handler in consoles:
            handler.removeFilter(unheard)


def require_named_server() -> None:
    """Makes sure that a server with workers may be meant: one of a run alone has none.

    Raises:
        UsageError: Neither `PREFECT_API_URL` nor Prefect's active profile names a server.
    """
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise UsageError(
            "execution.mode is dispatch, but no Prefect server is named whose workers could run "
            "the stages: set PREFECT_API_URL, or execution.mode=inline"
        )


@contextmanager
def _reachable_server() -> Iterator[str]:
    from prefect.settings import PREFECT_API_URL

    if named := PREFECT_API_URL.value():
        yield named
        return
    with _own_server() as api_url:
        yield api_url


@contextmanager
def _own_server() -> Iterator[str]:
    from prefect.settings import PREFECT_HOME, get_current_settings

    home = Path(PREFECT_HOME.value())
    log_path = home / "evolvesearch-server.log"
    try:
        home.mkdir(parents=True, exist_ok=True)
        log = log_path.open("wb")
    except OSError as error:
        raise StageError(f"Prefect's folder {home} cannot be written: {error}") from error
    with log, socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.prefect_server", str(listening.fileno())],
            pass_fds=[listening.fileno()],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={
                **os.environ,
                # What this process was told of Prefect holds for its server: database, folder, ….
                **get_current_settings().to_environment_variables(exclude_unset=True),
                **SERVER_ENVIRONMENT,
            },
        )
    api_url = f"http://127.0.0.1:{port}/api"
    try:
        with progress("starting Prefect", unit="s"):
            _wait_until_healthy(api_url, process, log_path)
        yield api_url
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(api_url: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
    end = time.monotonic() + _START_TIMEOUT_S
    # Connections wait in the socket's backlog until the server is up, hence the long timeout.
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        while process.poll() is None and time.monotonic() < end:
            try:
                if client.get(f"{api_url}/health").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
    reason = "it ended" if process.poll() is not None else f"not ready in {_START_TIMEOUT_S:.0f} s"
    raise StageError(f"Prefect's server did not start ({reason}); its log: {log_path}")


def _send_what_is_queued() -> None:
    """Waits for logs and events on their way: after the server's end they could only fail."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=5)
    EventsWorker.drain_all(timeout=5)
