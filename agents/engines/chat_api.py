"""A client of OpenAI's chat completions: retries, rate limit, spend and a budget that holds.

Teachers, judges and closed models are asked through here. The key comes from the environment, goes
into one header, and into nothing else: no log, no error text, no artifact.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from agents.engines.answers import reason_of
from agents.engines.config import OpenAiConfig
from agents.errors import BudgetError, EngineError, UsageError
from agents.pacing import RateLimit, backoff_s, retry_after_s

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
LONGEST_ASKED_S = 300.0
"""Longest wait that an API may ask for; one that asks for more is given up."""
_AGAIN = frozenset({408, 409, 425, 429})

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What a model said.

    Attributes:
        text: Its text.
        finish_reason: `stop`, `length`, or another reason of the API.
        input_tokens: Tokens that the API counted in, by its own tokenizer.
        output_tokens: Tokens that the API counted out.
        cost: Their price.
    """

    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int
    cost: float


@dataclass(slots=True)
class Spend:
    """What has been asked and spent.

    Attributes:
        requests: Answered requests.
        retries: Requests that were sent again.
        input_tokens: Tokens in, as the API counted them.
        output_tokens: Tokens out.
        cost: Their price, in the currency of the configured prices.
        reserved: Greatest possible price of the requests on their way.
    """

    requests: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    reserved: float = 0.0


class ChatApi:
    """Asks one model of one API; used from one event loop.

    Args:
        config: The API, its limits and its prices.
        transport: Stands in for the network, in tests.
        wait: Stands in for `asyncio.sleep`, in tests.
        section: Name of `config` in the configuration, for errors.

    Raises:
        UsageError: The environment has no key under the configured name.
    """

    def __init__(
        self,
        config: OpenAiConfig,
        transport: httpx.AsyncBaseTransport | None = None,
        wait: Callable[[float], Any] = asyncio.sleep,
        section: str = "engine.openai",
    ) -> None:
        self._section = section
        self.spend = Spend()
        self._config = config
        self._wait = wait
        rate = config.requests_per_minute
        self._rate = RateLimit(rate / 60.0 if rate else None, wait)
        headers = {}
        if config.key_variable:
            key = os.environ.get(config.key_variable, "")
            if not key:
                raise UsageError(
                    f"the environment has no {config.key_variable}, the key for {config.url}; set "
                    f"it, or {section}.key_variable to its name"
                )
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx.AsyncClient(
            base_url=config.url.rstrip("/"),
            headers=headers,
            timeout=httpx.Timeout(config.request_timeout_s, connect=15.0),
            limits=httpx.Limits(max_connections=None),
            transport=transport,
        )

    async def complete(
        self,
        messages: Sequence[Message],
        max_tokens: int,
        input_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> ChatReply:
        """Asks for one reply.

        Args:
            messages: The conversation, each with `role` and `content`.
            max_tokens: Most tokens of the reply.
            input_tokens: About how many tokens the messages have, for the budget.
            temperature: Sampling temperature.
            top_p: Nucleus mass.
            seed: Seed, where the API heeds one.

        Raises:
            BudgetError: The request might cost more than is left; it was not sent.
            EngineError: The API refused it, or failed each time.
        """
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
        }
        if seed is not None:
            body["seed"] = seed
        greatest = self._price(input_tokens, max_tokens)
        self._reserve(greatest)
        try:
            reply = self._reply(await self._send(body), input_tokens)
        finally:
            self.spend.reserved -= greatest
        spend = self.spend
        spend.requests += 1
        spend.input_tokens += reply.input_tokens
        spend.output_tokens += reply.output_tokens
        spend.cost += reply.cost
        return reply

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    def _price(self, input_tokens: int, output_tokens: int) -> float:
        config = self._config
        return (input_tokens * config.input_price + output_tokens * config.output_price) / 1e6

    def _reserve(self, greatest: float) -> None:
        spent = self.spend.cost + self.spend.reserved
        if self._config.budget and spent + greatest > self._config.budget:
            raise BudgetError(
                f"the budget of {self._config.budget:g} for {self._config.model} is spent: "
                f"{self.spend.cost:.4f} in {self.spend.requests} requests, and one more may cost "
                f"{greatest:.4f}; raise {self._section}.budget"
            )
        self.spend.reserved += greatest

    async def _send(self, body: dict[str, Any]) -> dict[str, Any]:
        for attempt in range(self._config.max_retries + 1):
            await self._rate.wait()
            asked_s: float | None = None
            try:
                response = await self._client.post("/chat/completions", json=body)
            except httpx.TransportError as error:
                # Its text may name the address, never a header.
                failure = f"{type(error).__name__}: {error}"
            else:
                if response.status_code == httpx.codes.OK:
                    return self._document(response)
                failure = reason_of(response)
                if response.status_code not in _AGAIN and not response.is_server_error:
                    break
                asked_s = retry_after_s(response.headers.get("Retry-After"))
                if asked_s is not None and asked_s > LONGEST_ASKED_S:
                    failure += f", and asks to wait {asked_s:g} s"
                    break
            if attempt < self._config.max_retries:
                self.spend.retries += 1
                wait_s = backoff_s(attempt + 1, FIRST_WAIT_S, LONGEST_WAIT_S)
                await self._wait(wait_s if asked_s is None else asked_s)
        raise EngineError(f"{self._config.url} failed: {self._without_key(failure)}")

    def _document(self, response: httpx.Response) -> dict[str, Any]:
        try:
            document = response.json()
        except ValueError as error:
            raise EngineError(f"{self._config.url} answered with something not JSON") from error
        if not isinstance(document, dict):
            raise EngineError(f"{self._config.url} answered with JSON that is no object")
        return document

    def _reply(self, document: dict[str, Any], input_tokens: int) -> ChatReply:
        try:
            choice = document["choices"][0]
            text = choice["message"]["content"] or ""
            reason = str(choice["finish_reason"])
        except (LookupError, TypeError) as error:
            raise EngineError(f"{self._config.url} answered without a choice") from error
        usage = document.get("usage") or {}
        counted_in = int(usage.get("prompt_tokens", input_tokens))
        counted_out = int(usage.get("completion_tokens", 0))
        return ChatReply(
            str(text), reason, counted_in, counted_out, self._price(counted_in, counted_out)
        )

    def _without_key(self, text: str) -> str:
        """Some APIs quote the key that they refuse."""
        key = os.environ.get(self._config.key_variable, "") if self._config.key_variable else ""
        return text.replace(key, "[key]") if key else text
