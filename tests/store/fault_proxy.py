"""A TCP proxy before an HTTP server that makes seeded faults: one decision for each request."""

from __future__ import annotations

import random
import re
import socket
import socketserver
import struct
import sys
import threading
from collections import Counter
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

FAULTS = ("error", "reset", "cut upload", "cut answer", "stall")
"""What it does: answers 503; hangs up at once; forwards a part of the request and hangs up;
forwards the request and a part of the answer and hangs up, so that the work was done but nobody
was told; or says nothing until the client has given up."""

_CHUNK = 1 << 16
_REFUSAL = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class FaultProxy:
    """Forwards requests to a server, each on a connection of its own, some with a fault.

    Args:
        upstream: URL of the server.
        seed: Seed of the faults.
        rate: Share of the requests that get one.
        stall_s: How long to say nothing; longer than the client waits.
        kinds: Faults to choose from.
    """

    def __init__(
        self,
        upstream: str,
        seed: int,
        rate: float,
        stall_s: float,
        kinds: tuple[str, ...] = FAULTS,
    ) -> None:
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "", parts.port or 80)
        self.stall_s = stall_s
        self.injected: Counter[str] = Counter()
        self.ending = threading.Event()
        self._random = random.Random(seed)
        self._rate = rate
        self._kinds = kinds
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def num_injected(self) -> int:
        """Faults made so far."""
        return sum(self.injected.values())

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def decide(self) -> tuple[str, float]:
        """The fault of the next request, empty for none, and how far the request may get."""
        with self._lock:
            fault = self._random.choice(self._kinds) if self._random.random() < self._rate else ""
            reach = self._random.random()
            if fault:
                self.injected[fault] += 1
        return fault, reach


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    proxy: FaultProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client or a server that hangs up is what this proxy is about.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Connection(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        proxy, client = self.server.proxy, self.request
        head, body = _read_head(client)
        if not head:
            return
        fault, reach = proxy.decide()
        if fault == "error":
            client.sendall(_REFUSAL)
            client.shutdown(socket.SHUT_WR)
            _drain(client)
            return
        if fault == "stall":
            proxy.ending.wait(proxy.stall_s)
        if fault in ("reset", "stall"):
            _hang_up(client)
            return
        found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        length = int(found[1]) if found else 0
        with socket.create_connection(proxy.upstream, timeout=30) as server:
            # With this, the server ends its answer by hanging up, and the next request comes on
            # a connection of its own.
            first, rest = head.split(b"\r\n", 1)
            server.sendall(first + b"\r\nConnection: close\r\n" + rest)
            limit = int(length * reach) if fault == "cut upload" else length
            _forward(client, server, body, limit)
            if fault == "cut upload":
                _hang_up(server)
                _hang_up(client)
                return
            answer = b""
            while data := server.recv(_CHUNK):
                if fault == "cut answer":
                    answer += data
                else:
                    client.sendall(data)
        if fault == "cut answer":
            client.sendall(answer[: int(len(answer) * reach)])
            _hang_up(client)


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """The request's first lines, and what came of its body with them."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(_CHUNK)
        if not more:
            return b"", b""
        data += more
    end = data.index(b"\r\n\r\n") + 4
    return data[:end], data[end:]


def _forward(client: socket.socket, server: socket.socket, body: bytes, limit: int) -> None:
    server.sendall(body[:limit])
    sent = min(len(body), limit)
    while sent < limit:
        data = client.recv(min(_CHUNK, limit - sent))
        if not data:
            return
        server.sendall(data)
        sent += len(data)


def _drain(client: socket.socket) -> None:
    """Reads what still comes, so that the answer is not lost to a reset."""
    client.settimeout(0.5)
    try:
        while client.recv(_CHUNK):
            pass
    except OSError:
        return


def _hang_up(connection: socket.socket) -> None:
    """Closes a connection in the hard way, with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
