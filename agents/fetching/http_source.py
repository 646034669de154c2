"""Reads one page once over HTTP: a request, a bounded body, its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin

import httpx

from agents.config import VisitConfig
from agents.fetching.extraction import Extractor, kind_of
from agents.fetching.guard import Guard
from agents.fetching.outcomes import (
    FetchedPage,
    PageMissing,
    PageProblem,
    PageRefused,
    TransientFailure,
)
from agents.fetching.transport import GuardedTransport
from agents.fetching.unpacking import ACCEPTED, Unpacker
from agents.pacing import retry_after_s

MAX_CONNECTIONS = 64
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# The server may do better in a moment: timeout, too early, too many, and faults of its own.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Redirect:
    """The page is elsewhere; the new address is not checked yet."""

    url: str


class PageSource(Protocol):
    """Reads a page once; patience and manners are the caller's."""

    async def read(self, url: str) -> FetchedPage | Redirect:
        """One attempt.

        Raises:
            PageProblem: The page cannot be read.
            TransientFailure: This attempt failed.
        """
        ...

    async def close(self) -> None:
        """Frees connections and processes."""
        ...


class HttpSource:
    """Reads pages with plain requests.

    Args:
        guard: Decides where connections may go.
        config: Limits.
        extractor: Takes the text out of what came.
    """

    def __init__(self, guard: Guard, config: VisitConfig, extractor: Extractor) -> None:
        self._guard = guard
        self._config = config
        self._extractor = extractor
        self._client = httpx.AsyncClient(
            transport=GuardedTransport(guard, MAX_CONNECTIONS),
            timeout=config.timeout_s,
            follow_redirects=False,
            trust_env=False,
            headers={
                "User-Agent": config.user_agent,
                "Accept": "text/html,application/xhtml+xml,application/pdf;q=0.9,text/*;q=0.8",
                "Accept-Encoding": ACCEPTED,
            },
        )

    async def read(self, url: str) -> FetchedPage | Redirect:
        """Requests a page and takes its text out; see `PageSource`."""
        response, body = await self.get(url, self._config.max_page_bytes)
        if response.status_code in _REDIRECTS and response.headers.get("location"):
            return Redirect(urljoin(url, response.headers["location"]))
        raise_for_status(response.status_code, response.headers.get("retry-after", ""))
        content_type = response.headers.get("content-type", "")
        return await self._extractor.extract(body, content_type, url)

    async def get(self, url: str, max_bytes: int) -> tuple[httpx.Response, bytes]:
        """Requests an address; returns the answer's head and the first bytes of its body.

        The body is read only where the answer is a page: of all others the head says enough.
        """
        self._guard.check_url(url)
        # Cookies would carry over what one rollout did to another.
        self._client.cookies.clear()
        try:
            request = self._client.build_request("GET", url)
        except httpx.InvalidURL as error:
            raise PageRefused(f"{url!r} is not an address: {error}") from error
        response = await self._client.send(request, stream=True)
        try:
            if response.status_code != httpx.codes.OK:
                return response, b""
            kind_of(response.headers.get("content-type", ""), url)
            unpacker = Unpacker(response.headers.get("content-encoding", ""), max_bytes)
            async for piece in response.aiter_raw():
                unpacker.feed(piece)
                if unpacker.is_full:
                    break
            return response, bytes(unpacker.body)
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def raise_for_status(status: int, retry_after: str = "") -> None:
    """Says what a status means.

    Args:
        status: Status of the answer.
        retry_after: Its Retry-After, seconds or a date.

    Raises:
        PageProblem: The server will not give the page.
        TransientFailure: It may give it later.
    """
    if status == httpx.codes.OK:
        return
    if status in _PASSING:
        raise TransientFailure(f"it answered {status}, expected 200", retry_after_s(retry_after))
    if status in (401, 402, 403, 451):
        raise PageMissing(f"it is not open to us (status {status})")
    if status in (404, 410):
        raise PageMissing("there is no such page")
    if status >= 500:
        raise TransientFailure(f"it answered {status}, expected 200")
    raise PageProblem(f"it answered {status}, expected 200")
