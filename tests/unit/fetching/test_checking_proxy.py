"""The browser's proxy, spoken to directly: what it carries, and what it carries nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agents.fetching.checking_proxy import CheckingProxy
from agents.fetching.guard import Guard

pytestmark = pytest.mark.hostile


@pytest.fixture
async def proxy(hostile) -> AsyncIterator[CheckingProxy]:
    proxy = CheckingProxy(Guard([hostile.url]), 200_000)
    await proxy.start()
    yield proxy
    await proxy.close()


async def say(proxy, request: str, more: bytes = b"") -> bytes:
    """Sends a request's head and whatever follows it, and reads all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(request.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + more)
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_a_plain_request_is_carried_without_what_is_between_neighbours(proxy, hostile):
    answer = await say(
        proxy,
        f"GET {hostile.url}/ HTTP/1.1\nHost: x\nProxy-Connection: keep-alive\n"
        "Connection: keep-alive, Upgrade\nUpgrade: h2c\nProxy-Authorization: secret",
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert head.lower().count(b"connection: close") == 1
    assert b"The harbour of Lisbon" in body


async def test_a_tunnel_is_carried(proxy, hostile):
    target = f"127.0.0.1:{hostile.port}"
    inner = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await say(proxy, f"CONNECT {target} HTTP/1.1\nHost: {target}", inner)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 ")
    assert b"The harbour of Lisbon" in answer


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:1", "localhost:8000", "[::1]:8000", "0x7f.1:8000", "169.254.169.254:80", "x:80"],
)
async def test_no_tunnel_leads_inside(proxy, hostile, target):
    answer = await say(proxy, f"CONNECT {target} HTTP/1.1\nHost: {target}")
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\nx-evolvesearch-refused: ")
    host, _, port = target.rpartition(":")
    assert proxy.refusal_of(host, int(port))
    assert proxy.refusal_of("127.0.0.1", hostile.port) == ""


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:1/",
        "http://localhost/",
        "ftp://example.com/",
        "/relative",
        "http://a@b.c/",
    ],
)
async def test_no_request_leads_inside(proxy, target):
    answer = await say(proxy, f"GET {target} HTTP/1.1\nHost: example.com")
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\nx-evolvesearch-refused: ")


async def test_no_second_request_rides_on_the_first_ones_connection(proxy, hostile):
    second = f"GET {hostile.url}/404 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    answer = await say(proxy, f"GET {hostile.url}/ HTTP/1.1\nHost: x", second)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert hostile.hits["/404"] == 0


async def test_an_answer_ends_at_the_limit(proxy, hostile):
    assert len(await say(proxy, f"GET {hostile.url}/endless HTTP/1.1\nHost: x")) < 300_000


async def test_a_dead_server_is_a_failure_and_no_refusal(proxy):
    proxy = CheckingProxy(Guard(["http://127.0.0.1:1"]), 1000)
    await proxy.start()
    answer = await say(proxy, "CONNECT 127.0.0.1:1 HTTP/1.1\nHost: x")
    await proxy.close()
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\nx-evolvesearch-failed: 127.0.0.1:1: ")


@pytest.mark.parametrize(
    "nonsense", ["", "GET", "GET x", "CONNECT x HTTP/1.1", "CONNECT a:b HTTP/1.1", "\x00" * 100]
)
async def test_nonsense_ends_the_connection_and_nothing_else(proxy, hostile, nonsense):
    await say(proxy, nonsense)
    await say(proxy, "GET " + "x" * 100_000 + " HTTP/1.1")
    answer = await say(proxy, f"GET {hostile.url}/ HTTP/1.1\nHost: x")
    assert answer.startswith(b"HTTP/1.1 200 ")
