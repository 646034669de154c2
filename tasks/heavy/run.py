"""Heavy work (engines, training) in child processes of their own group.

A child gives its memory back when it ends, its crash is an error with a type, a cancel kills its
whole group, and it dies with this process however this one ends. Children are forked from a
server that has done the slow imports (`tasks.heavy.server`); what runs in them is
`tasks.heavy.child`. Events come back as lines of JSON: progress goes to this process's sink of
`agents.progress`, warnings to the loggers of their names, a heartbeat shows that the child lives,
anything else goes to `on_event`.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agents.errors import StageError
from agents.progress import Bar
from tasks.heavy.launcher import SERVER
from tasks.heavy.outcome import (
    LESS_MEMORY,
    HeavyKilledError,
    error_of_event,
    error_of_exit,
)
from tasks.leases import Lease
from training.memory_limits import num_oom_kills

SILENCE_S = 300.0
"""Seconds without a sign of life after which a child counts as hung and is killed."""

_POLL_S = 0.5
_KILL_WAIT_S = 20.0

OnEvent = Callable[[Mapping[str, Any]], None]


def start_heavy() -> None:
    """Starts the server now, so that its imports run while other work is done."""
    SERVER.ensure()


def stop_heavy() -> None:
    """Ends the server and every child of it, and gives their memory back."""
    SERVER.stop()


def run_heavy(
    entry: str,
    payload: Mapping[str, Any],
    *,
    description: str,
    on_event: OnEvent | None = None,
    log: Path | None = None,
    lease: Lease | None = None,
    memory_advice: str = LESS_MEMORY,
) -> dict[str, Any]:
    """Runs a function in a child process and waits for its result.

    Args:
        entry: `module:function`; called as `function(payload, emit) -> dict`.
        payload: Its argument, JSON values.
        description: What it does, for progress and errors.
        on_event: Takes the events that the function emits.
        log: File that its output is added to; None: a temporary one, kept where it fails.
        lease: The lease it works under: it is not free before the child is gone, and the child
            is killed where it is lost.
        memory_advice: What to change where it runs out of memory.

    Returns:
        What the function returned.

    Raises:
        EvolveSearchError: As the function raised it.
        HeavyMemoryError: It ran out of memory.
        HeavyKilledError: It was killed, crashed or hung.
        LeaseLostError: Another process took over what it worked on.
        StageError: It failed in any other way; the message names the log.
    """
    folder = Path(tempfile.mkdtemp(prefix="evolvesearch-"))
    log = (log or folder / "log.txt").absolute()
    document = {
        "payload": dict(payload),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "path": [path or os.getcwd() for path in sys.path],
    }
    keep_log = False
    try:
        oom_kills = num_oom_kills()
        request = {"entry": entry, "log": str(log)}
        if lease is not None:
            lease.include(SERVER.ensure())
        with (
            _unnamed_file(json.dumps(document)) as config,
            _Child(request, config, description, on_event, lease) as child,
        ):
            code = child.wait()
        if child.result is not None:
            return child.result
        keep_log = True
        if child.error is not None:
            raise error_of_event(child.error, description, log, memory_advice)
        kills = num_oom_kills() - oom_kills
        raise error_of_exit(code, kills, description, log, memory_advice)
    except HeavyKilledError:
        keep_log = True
        raise
    finally:
        if not keep_log or log.parent != folder:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _unnamed_file(text: str) -> Iterator[int]:
    """A descriptor of a file that no name leads to: it holds keys, and ends with its readers."""
    with tempfile.TemporaryFile("w+") as file:
        file.write(text)
        file.flush()
        file.seek(0)
        yield file.fileno()


class _Child:
    """One child from request to exit; leaving the context kills what still lives."""

    def __init__(
        self,
        request: Mapping[str, str],
        config: int,
        description: str,
        on_event: OnEvent | None,
        lease: Lease | None,
    ) -> None:
        self.result: dict[str, Any] | None = None
        self.error: Mapping[str, Any] | None = None
        self._request = request
        self._config = config
        self._description = description
        self._on_event = on_event
        self._lease = lease
        self._bars: dict[Any, Bar] = {}
        self._pid: int | None = None
        self._exit: int | None = None

    def __enter__(self) -> _Child:
        self._channel, theirs = socket.socketpair()
        self._status, status = os.pipe()
        try:
            SERVER.send(self._request, [theirs.fileno(), status, self._config])
        except BaseException:
            self._channel.close()
            os.close(self._status)
            raise
        finally:
            theirs.close()
            os.close(status)
        return self

    def __exit__(self, *_: object) -> None:
        # With this end closed, a child that was not even forked yet ends as it starts.
        self._channel.close()
        if self._exit is None and self._pid is not None:
            self._kill(self._pid)
        os.close(self._status)
        for bar in self._bars.values():
            bar.finish()

    def wait(self) -> int:
        """Handles events until the child has ended; returns its exit code."""
        events, status = _Lines(self._channel.fileno()), _Lines(self._status)
        heard_at = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(events.descriptor, selectors.EVENT_READ, events)
            selector.register(status.descriptor, selectors.EVENT_READ, status)
            while selector.get_map():
                # A short wait, so that a cancel raised in this thread comes through.
                for key, _ in selector.select(_POLL_S):
                    lines: _Lines = key.data
                    handle = self._handle if lines is events else self._handle_status
                    for line in lines.read():
                        handle(line)
                        heard_at = time.monotonic()
                    if lines.ended:
                        selector.unregister(lines.descriptor)
                if self._lease is not None:
                    self._lease.check()
                if self._pid is not None and time.monotonic() - heard_at > SILENCE_S:
                    raise HeavyKilledError(
                        f"{self._description} gave no sign of life for {SILENCE_S:.0f} s "
                        f"and was killed; log: {self._request['log']}"
                    )
        if self._exit is None:
            words = SERVER.last_words()
            raise StageError(
                f"{self._description}: the process that starts children has died"
                f"{f' ({words})' if words else ''}; run the same command again"
            )
        return self._exit

    def _handle(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "progress":
                self._show(event)
            case "heartbeat":
                pass
            case "log":
                logging.getLogger(event["logger"]).log(event["level"], "%s", event["message"])
            case "result":
                self.result = dict(event["value"])
            case "error":
                self.error = event
            case _ if self._on_event is not None:
                self._on_event(event)

    def _handle_status(self, line: Mapping[str, Any]) -> None:
        if "pid" in line:
            self._pid = line["pid"]
            if self._lease is not None:
                self._lease.include(line["pid"])
        else:
            self._exit = line["exit"]

    def _show(self, event: Mapping[str, Any]) -> None:
        description = event["description"]
        key = event.get("bar", description)
        bar = self._bars.get(key)
        if bar is None:
            bar = Bar(description, event.get("total"), event.get("unit", "it"))
            self._bars[key] = bar
        bar.update(event["completed"], event.get("total"), event.get("detail", ""))
        if event.get("finished"):
            self._bars.pop(key).finish()

    def _kill(self, pid: int) -> None:
        """Kills the child's group and waits until it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        status = _Lines(self._status)
        until = time.monotonic() + _KILL_WAIT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._status, selectors.EVENT_READ)
            while not status.ended and time.monotonic() < until:
                ready = selector.select(_POLL_S)
                if ready and any("exit" in line for line in status.read()):
                    return


class _Lines:
    """JSON lines from a descriptor, as they come."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._rest = b""

    def read(self) -> Iterator[Mapping[str, Any]]:
        """The lines that one read completes."""
        try:
            data = os.read(self.descriptor, 1 << 16)
        except ConnectionResetError:
            data = b""
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)
