"""What runs in a forked child: one entry point, its events, and its death with its parent."""

from __future__ import annotations

import importlib
import json
import logging
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from agents.lifeline import describe_error, die_with
from agents.progress import set_progress

HEARTBEAT_S = 5.0
"""Seconds between signs of life."""

_MIN_UPDATE_S = 0.1
_PACKAGES = ("agents", "evaluation", "training", "tasks")

Emit = Callable[[Mapping[str, Any]], None]


class Channel:
    """Sends events as lines of JSON; safe from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def emit(self, event: Mapping[str, Any]) -> None:
        """Sends one event; it must hold JSON values and a name under `event`."""
        data = json.dumps(event).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]


class ChannelProgress:
    """Progress of the child, sent to the parent's sink a few times a second."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._bars: dict[int, dict[str, Any]] = {}
        self._sent_at: dict[int, float] = {}

    def start(self, description: str, total: float | None, unit: str) -> int:
        """Opens a bar."""
        with self._lock:
            bar = len(self._bars) + 1
            self._bars[bar] = {"bar": bar, "description": description, "unit": unit}
            self._sent_at[bar] = 0.0
        self.update(bar, 0, total)
        return bar

    def update(
        self, bar: int, completed: float, total: float | None = None, detail: str = ""
    ) -> None:
        """Notes how far a bar is; sends it where the last message is not too recent."""
        with self._lock:
            state = self._bars[bar]
            state["completed"] = completed
            if total is not None:
                state["total"] = total
            if detail:
                state["detail"] = detail
            now = time.monotonic()
            due = now - self._sent_at[bar] >= _MIN_UPDATE_S
            if due:
                self._sent_at[bar] = now
            message = {"event": "progress", **state}
        if due:
            self._emit(message)

    def finish(self, bar: int) -> None:
        """Sends the last state of a bar and closes it."""
        with self._lock:
            message = {"event": "progress", **self._bars[bar], "finished": True}
        self._emit(message)


class ChannelLog(logging.Handler):
    """Sends warnings of this project's modules to the parent, which has someone to show them to."""

    def __init__(self, emit: Emit) -> None:
        super().__init__(logging.WARNING)
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        """Sends one record."""
        message = record.getMessage()
        self._emit(
            {"event": "log", "logger": record.name, "level": record.levelno, "message": message}
        )


def main(request: Mapping[str, str], descriptor: int, config_descriptor: int) -> int:
    """Runs one request in this process.

    Args:
        request: `entry`, `log`.
        descriptor: The channel to the parent.
        config_descriptor: File that holds the payload and the surroundings.

    Returns:
        Exit code: 0 where a result was sent, 1 where an error was.
    """
    server = os.getppid()
    os.setsid()
    die_with(server)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    threading.Thread(target=_watch_parent, args=(descriptor,), daemon=True).start()
    channel = Channel(descriptor)
    threading.Thread(target=_beat, args=(channel,), daemon=True).start()
    set_progress(ChannelProgress(channel.emit))
    for package in _PACKAGES:
        logging.getLogger(package).addHandler(ChannelLog(channel.emit))
    try:
        with os.fdopen(config_descriptor) as file:
            config = json.load(file)
        os.environ.clear()
        os.environ.update(config["environment"])
        os.chdir(config["folder"])
        sys.path[:] = config["path"]
        module, _, function = request["entry"].partition(":")
        result = getattr(importlib.import_module(module), function)(config["payload"], channel.emit)
        channel.emit({"event": "result", "value": result})
    except BaseException as error:
        traceback.print_exc()
        channel.emit({"event": "error", **describe_error(error)})
        return 1
    return 0


def _watch_parent(descriptor: int) -> None:
    """Kills this process's whole group once the parent's end of the channel is closed."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    poll.poll()
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _beat(channel: Channel) -> None:
    while True:
        time.sleep(HEARTBEAT_S)
        channel.emit({"event": "heartbeat"})
