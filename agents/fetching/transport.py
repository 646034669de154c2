"""An httpx transport that connects through the guard and nowhere else."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Iterator

import httpcore
import httpx

from agents.fetching.guard import Guard
from agents.fetching.outcomes import TransientFailure

KEPT_ALIVE_S = 15.0
NUM_KEPT_ALIVE = 32


@contextlib.contextmanager
def failures_of_the_network() -> Iterator[None]:
    """Turns what goes wrong on the wire into `TransientFailure`."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpx.TransportError,
        ssl.SSLError,
        OSError,
    ) as error:
        raise TransientFailure(str(error) or type(error).__name__) from error


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends requests over connections to checked addresses, kept alive per host.

    The environment's proxies are not used: what is behind one is checked by nobody.

    Args:
        guard: Decides where connections may go.
        max_connections: Most connections at once, over all hosts.
    """

    def __init__(self, guard: Guard, max_connections: int) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=max_connections,
            max_keepalive_connections=NUM_KEPT_ALIVE,
            keepalive_expiry=KEPT_ALIVE_S,
            network_backend=_GuardedBackend(guard),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request.

        Raises:
            PageRefused: The guard forbids the connection.
            TransientFailure: The network failed.
        """
        assert isinstance(request.stream, httpx.AsyncByteStream)
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        sent = httpcore.Request(
            request.method,
            url,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with failures_of_the_network():
            received = await self._pool.handle_async_request(sent)
        return httpx.Response(received.status, headers=received.headers, stream=_Stream(received))

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()


class _Stream(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with failures_of_the_network():
            async for piece in self._response.aiter_stream():
                yield piece

    async def aclose(self) -> None:
        await self._response.aclose()


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves and checks before it connects; TLS still names the host that was asked for."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connects to the first of a host's addresses that answers."""
        addresses = await self._guard.addresses(host, port)
        ends = None if timeout is None else time.monotonic() + timeout
        for position, address in enumerate(addresses):
            left = None if ends is None else max(0.0, ends - time.monotonic())
            # The last address may take all the time there is, an earlier one its share.
            share = None if left is None else left / (len(addresses) - position)
            try:
                return await self._plain.connect_tcp(
                    address, port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if position == len(addresses) - 1:
                    raise
        raise AssertionError("a host has at least one address")

    async def sleep(self, seconds: float) -> None:
        """Sleeps."""
        await self._plain.sleep(seconds)
