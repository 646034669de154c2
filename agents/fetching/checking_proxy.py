"""The proxy through which Chromium reaches the web: it resolves, checks and then connects.

A browser's own hooks see names; what a name stands for is decided later, inside the browser.
Here each connection goes to the address that the guard checked. Plain requests carry one request
a connection, so that none can ride to another host on a connection that is already open.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

from agents.fetching.guard import Guard, origin_of
from agents.fetching.outcomes import PageProblem, TransientFailure

REFUSED_HEADER = "x-evolvesearch-refused"
FAILED_HEADER = "x-evolvesearch-failed"

_MAX_HEAD_BYTES = 65_536
_HEAD_S = 10.0
_CONNECT_S = 10.0
_IDLE_S = 30.0
_PIECE_BYTES = 65_536
_MOST_REMEMBERED = 1024
_ANSWERS_OF_A_TUNNEL = 4
# Headers that are between two neighbours; the far side has its own.
_HOP_BY_HOP = frozenset(
    {"connection", "proxy-connection", "keep-alive", "proxy-authorization", "te", "upgrade"}
)


@dataclass(frozen=True, slots=True)
class _Head:
    first: str
    headers: tuple[tuple[str, str], ...]

    def packed(self, *more: str) -> bytes:
        kept = [f"{n}: {v}" for n, v in self.headers if n.lower() not in _HOP_BY_HOP]
        return ("\r\n".join([self.first, *kept, *more]) + "\r\n\r\n").encode("latin-1")

    def value(self, name: str) -> str:
        return next((v for n, v in self.headers if n.lower() == name), "")


class CheckingProxy:
    """An HTTP proxy on loopback for one browser.

    Args:
        guard: Decides where connections may go.
        max_bytes: Most bytes of one answer; a tunnel, whose answers nobody can tell apart, may
            bring back several times that.
    """

    def __init__(self, guard: Guard, max_bytes: int) -> None:
        self._guard = guard
        self._max_bytes = max_bytes
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._refused: OrderedDict[str, str] = OrderedDict()

    @property
    def port(self) -> int:
        """Port it listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def refusal_of(self, host: str, port: int) -> str:
        """Why a tunnel to a host was last refused; empty where it was not."""
        return self._refused.get(f"{host}:{port}", "")

    async def start(self) -> None:
        """Begins to listen on a free port."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, limit=_MAX_HEAD_BYTES
        )

    async def close(self) -> None:
        """Ends all connections and stops listening."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError):
            pass  # The browser, or the far side, went away or spoke no HTTP.
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_S):
            head = await _read_head(reader)
        method, target, _ = head.first.split(" ", 2)
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            far = await self._connect(host, int(port), writer)
            if far is not None:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await self._relay(reader, writer, *far)
            return
        try:
            origin = origin_of(target)
        except ValueError as error:
            await _answer(writer, "403 Forbidden", REFUSED_HEADER, str(error))
            return
        far = await self._connect(origin.host, origin.port, writer)
        if far is not None:
            await self._forward(reader, writer, *far, head)

    async def _connect(
        self, host: str, port: int, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connects to a checked address, or tells the browser why not."""
        name = f"{host}:{port}"
        try:
            addresses = await self._guard.addresses(host, port)
        except PageProblem as problem:
            self._remember(name, str(problem))
            await _answer(writer, "403 Forbidden", REFUSED_HEADER, str(problem))
            return None
        except TransientFailure as failure:
            await _answer(writer, "502 Bad Gateway", FAILED_HEADER, str(failure))
            return None
        self._refused.pop(name, None)
        reason = ""
        for address in addresses:
            try:
                async with asyncio.timeout(_CONNECT_S / len(addresses)):
                    return await asyncio.open_connection(address, port, limit=_MAX_HEAD_BYTES)
            except (OSError, TimeoutError) as error:
                reason = str(error) or "no answer"
        await _answer(writer, "502 Bad Gateway", FAILED_HEADER, f"{name}: {reason}")
        return None

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        most = _ANSWERS_OF_A_TUNNEL * self._max_bytes
        up = asyncio.create_task(_pump(reader, far_writer, most))
        down = asyncio.create_task(_pump(far_reader, writer, most))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            far_writer.close()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
        head: _Head,
    ) -> None:
        method, target, version = head.first.split(" ", 2)
        parts = urlsplit(target)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = _Head(f"{method} {path} {version}", head.headers)
        try:
            far_writer.write(request.packed("Connection: close"))
            body = int(head.value("content-length") or 0)
            if body:
                await _pump(reader, far_writer, min(body, self._max_bytes))
            await far_writer.drain()
            async with asyncio.timeout(_IDLE_S):
                answer = await _read_head(far_reader)
                while answer.first.split(" ", 2)[1].startswith("1"):
                    answer = await _read_head(far_reader)
            writer.write(answer.packed("Connection: close"))
            await _pump(far_reader, writer, self._max_bytes)
        finally:
            far_writer.close()

    def _remember(self, name: str, reason: str) -> None:
        self._refused[name] = reason
        if len(self._refused) > _MOST_REMEMBERED:
            self._refused.popitem(last=False)


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or "\n" in line or "\r" in line:
            raise ValueError("a header of another form")
        headers.append((name, value.strip()))
    return _Head(first, tuple(headers))


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    max_bytes: int,
) -> None:
    """Carries bytes until the end, the limit, or a pause that is too long."""
    left = max_bytes
    while left > 0:
        async with asyncio.timeout(_IDLE_S):
            piece = await reader.read(min(_PIECE_BYTES, left))
            if not piece:
                return
            left -= len(piece)
            writer.write(piece)
            await writer.drain()


async def _answer(writer: asyncio.StreamWriter, status: str, header: str, reason: str) -> None:
    shown = reason.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")[:300]
    writer.write(
        f"HTTP/1.1 {status}\r\n{header}: {shown}\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n".encode("ascii")
    )
    await writer.drain()
