"""Searches a provider over HTTP: timeouts, retries, rate, breaker, budget, and no key in sight."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
from collections.abc import Mapping
from typing import Any

import httpx

from agents.errors import UsageError
from agents.pacing import RateLimit, backoff_s, retry_after_s
from agents.tools.base import ToolFailure
from agents.web.breaker import CircuitBreaker
from agents.web.budget import Budget
from agents.web.search.config import SearchConfig
from agents.web.search.providers import PROVIDERS, Provider, ProviderRequest
from agents.web.search.results import SearchResult, normalised

NUM_ATTEMPTS = 4
MAX_RETRY_AFTER_S = 20.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
"""A provider that asks for a longer pause is taken as down: the rollout would end meanwhile."""
MAX_ANSWER_BYTES = 4_000_000
_WORTH_RETRYING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 402, 403})


class _AttemptFailed(Exception):  # noqa: N818 - one attempt of several
    """One attempt failed.

    Attributes:
        wait_s: Seconds that the provider wants to be left alone, None where it does not say.
        final: Whether another attempt would fail just so.
    """

    def __init__(self, reason: str, wait_s: float | None = None, *, final: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.final = final


class HttpSearch:
    """One provider over HTTP.

    Args:
        config: Which provider, and how it is asked.
        snippet_words: Longest snippet, in words.
        budget: What is paid for the calls.
        transport: Stands in for the network in tests.
    """

    def __init__(
        self,
        config: SearchConfig,
        snippet_words: int,
        budget: Budget | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        provider = PROVIDERS[config.provider]
        self._provider = provider
        self._endpoint = (config.endpoint or provider.endpoint).rstrip("/")
        self._key = os.environ.get(provider.key_variable, "").strip()
        self._count = min(config.results, provider.max_results)
        self._snippet_words = snippet_words
        self._price = float(bool(provider.key_variable)) if config.price is None else config.price
        self._budget = budget or Budget()
        self._timeout_s = config.timeout_s
        self._rate = RateLimit(config.rate)
        self._breaker = CircuitBreaker(f"search provider {provider.name}")
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def name(self) -> str:
        """Name of the provider."""
        return self._provider.name

    @property
    def asked_of(self) -> Mapping[str, Any]:
        """The endpoint and the sizes that an answer depends on."""
        return {
            "endpoint": self._endpoint,
            "results": self._count,
            "snippet_words": self._snippet_words,
        }

    async def search(self, query: str, k: int) -> list[SearchResult]:
        """The provider's best results for a query.

        Raises:
            ToolFailure: It did not answer, or not in its format.
            StoppedError: The budget does not allow the call.
            UsageError: Its key is not in the environment.
        """
        check_key(self._provider)
        count = min(max(self._count, k), self._provider.max_results)
        answer = await self._ask(self._provider.request(query, count))
        try:
            return normalised(self._provider.parse(answer), k, self._snippet_words)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ToolFailure(
                f"search provider {self.name} answered in an unknown format "
                f"({type(error).__name__}: {self._hidden(str(error))})"
            ) from error

    async def text_of(self, result: SearchResult) -> str:
        """The snippet: all that was seen of the page."""
        return result.snippet

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _ask(self, request: ProviderRequest) -> Any:
        for attempt in range(1, NUM_ATTEMPTS + 1):
            self._breaker.check()
            await self._rate.wait()
            self._budget.charge(self._price, f"search provider {self.name}")
            try:
                answer = await self._attempt(request)
            except _AttemptFailed as failure:
                reason = str(failure)
                self._breaker.failed(reason)
                wait_s = backoff_s(attempt, FIRST_WAIT_S, LONGEST_WAIT_S) + (failure.wait_s or 0.0)
                if failure.final or attempt == NUM_ATTEMPTS or wait_s > MAX_RETRY_AFTER_S:
                    tried = "1 attempt" if attempt == 1 else f"{attempt} attempts"
                    # The causes hold the request, and with it the key.
                    raise ToolFailure(
                        f"search provider {self.name} failed after {tried}: {reason}"
                    ) from None
                await asyncio.sleep(wait_s)
            else:
                self._breaker.succeeded()
                return answer
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, request: ProviderRequest) -> Any:
        headers = {"Accept": "application/json"}
        if self._key:
            headers[self._provider.key_header] = f"{self._provider.key_prefix}{self._key}"
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session().stream(
                    request.method,
                    self._endpoint + request.path,
                    params=dict(request.params) or None,
                    json=request.body,
                    headers=headers,
                ) as response,
            ):
                self._check_status(response)
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        raise _AttemptFailed(f"more than {MAX_ANSWER_BYTES} bytes", final=True)
        except TimeoutError:
            raise _AttemptFailed(f"no answer within {self._timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise _AttemptFailed(self._hidden(str(error)) or type(error).__name__) from None
        try:
            return json.loads(body)
        except ValueError:
            raise _AttemptFailed("the answer is not JSON") from None

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        said = f"it answered {status}"
        if status in _REFUSED and self._key:
            said += f", so it does not accept the key in {self._provider.key_variable}"
        wait_s = retry_after_s(response.headers.get("Retry-After"))
        raise _AttemptFailed(said, wait_s, final=status not in _WORTH_RETRYING)

    def _session(self) -> httpx.AsyncClient:
        """The client of the running event loop; connections do not outlive theirs."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client = httpx.AsyncClient(
                timeout=self._timeout_s,
                transport=self._transport,
                # A proxy of the environment has no business with this machine's own addresses.
                trust_env=not _is_own_address(self._endpoint),
                follow_redirects=False,
            )
            self._loop = loop
        return self._client

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, "…") if self._key else text


def check_key(provider: Provider) -> None:
    """Checks that a provider can be asked at all.

    Raises:
        UsageError: Its key is not in the environment.
    """
    if provider.key_variable and not os.environ.get(provider.key_variable, "").strip():
        raise UsageError(
            f"web.search.provider is {provider.name}, but {provider.key_variable} is not set; "
            "put the key into the environment"
        )


def _is_own_address(endpoint: str) -> bool:
    host = httpx.URL(endpoint).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
