"""Messages between driver and ranks: lines of JSON over a Unix socket in a folder of our own.

Large things (weights, rows, checkpoints) are files that a message names. Ranks of other machines
talk to a driver's stand-in on their own machine (`training.launch.join`), so nothing here ever
leaves the machine.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

Message = Mapping[str, Any]


class Wire:
    """One end of a connection; sending is safe from any thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lock = threading.Lock()
        self._rest = b""

    @classmethod
    def to(cls, path: Path) -> Wire:
        """Connects to the driver that listens at a path."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(path))
        return cls(connection)

    def fileno(self) -> int:
        """The descriptor, for selectors."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Sends one message.

        Raises:
            OSError: The other end is gone.
        """
        data = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._socket.sendall(data)

    def read(self) -> list[dict[str, Any]] | None:
        """Waits for data; the messages that it completes, None where the other end is gone."""
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError:
            return None
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def messages(self) -> Iterator[dict[str, Any]]:
        """Messages until the other end is gone."""
        while (found := self.read()) is not None:
            yield from found

    def close(self) -> None:
        """Ends the connection."""
        # Closing alone would not wake a thread that reads.
        with suppress(OSError):  # the other end was first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
