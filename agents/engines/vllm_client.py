"""How a vLLM server is asked: a dying server of ours is started again, and asked again."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from agents.engines.answers import reason_of
from agents.engines.config import VllmConfig
from agents.engines.vllm_server import VllmServer
from agents.errors import EngineError

READ_LOAD_S = 0.5
DYING_S = 10.0
"""Seconds that a server may take to end after its last answer."""


class VllmClient:
    """Asks one server; all methods run on one event loop.

    Args:
        config: Its address where it is another's, and how long answers may take.
        server: The server of ours; None: another's.
    """

    def __init__(self, config: VllmConfig, server: VllmServer | None) -> None:
        self._config = config
        self._server = server
        self._restarts = 0
        self._starting: asyncio.Task[None] | None = None
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(config.request_timeout_s, connect=10.0),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )

    @property
    def url(self) -> str:
        """The server's address; that of a server of ours changes when it is started again."""
        return self._server.url if self._server is not None else self._config.url.rstrip("/")

    async def post(
        self, path: str, body: dict[str, Any] | None, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Asks the server; starts ours again where it has died.

        Args:
            path: What to ask, its query included.
            body: JSON to send; None: nothing.
            timeout_s: Seconds within which it must answer; None: those of a generation.

        Raises:
            EngineError: It does not answer in time, refuses, or died too often.
        """
        limit_s = self._config.request_timeout_s if timeout_s is None else timeout_s
        while True:
            server = self._server
            if server is not None and not server.alive:
                await self._restart(server)
            url = self.url
            try:
                response = await self._http.post(
                    url + path, json=body, timeout=httpx.Timeout(limit_s, connect=10.0)
                )
            except httpx.TimeoutException as error:
                raise EngineError(
                    f"the vLLM server did not answer {path} within {limit_s:g} s"
                ) from error
            except httpx.TransportError as error:
                if server is None or not await _dies(server, url):
                    raise EngineError(f"the vLLM server at {url} hung up: {error!r}") from error
                continue
            if response.status_code == httpx.codes.OK:
                return _document(response)
            # A server whose engine died says so, and then ends.
            if response.is_server_error and server is not None and await _dies(server, url):
                continue
            raise EngineError(f"the vLLM server refused {path}: {reason_of(response)}")

    async def get(self, path: str, timeout_s: float) -> httpx.Response:
        """Asks for a page of the server.

        Raises:
            httpx.HTTPError: It does not answer, or refuses.
        """
        response = await self._http.get(self.url + path, timeout=timeout_s)
        return response.raise_for_status()

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def _restart(self, server: VllmServer) -> None:
        """Starts the server again, once for all that noticed its death."""
        if self._starting is None or self._starting.done():
            if self._restarts >= self._config.max_restarts:
                raise EngineError(
                    f"the vLLM server died {self._restarts + 1} times: {server.last_words()}"
                )
            self._restarts += 1
            self._starting = asyncio.create_task(asyncio.to_thread(server.start))
        await asyncio.shield(self._starting)


def _document(response: httpx.Response) -> dict[str, Any]:
    answer: dict[str, Any] = response.json() if response.content else {}
    return answer


async def _dies(server: VllmServer, url: str) -> bool:
    """Whether the server that was at `url` has ended, or does so now."""
    for _ in range(round(DYING_S / READ_LOAD_S)):
        if not server.alive or server.url != url:
            return True
        await asyncio.sleep(READ_LOAD_S)
    return False
