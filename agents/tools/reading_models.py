"""Models that read a page: any chat API, or the engine of the policy itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from agents.chat_format import ChatFormat
from agents.engines.base import SamplingParams
from agents.engines.chat_api import ChatApi
from agents.engines.config import OpenAiConfig
from agents.engines.http_thread import HttpThread
from agents.errors import EngineError
from agents.protocol import neutralise, without_brackets
from agents.randomness import derive_seed
from agents.tools.base import ToolFailure
from agents.tools.calling import CALLER, Caller
from agents.web.budget import Budget

AGAIN_TEMPERATURE = 0.7
"""Temperature after a reply that was no such JSON: a greedy model would only repeat it."""
LEAST_PAGE_TOKENS = 16
SEAM_TOKENS = 4
"""Tokens by which pieces may differ from what they were counted as apart."""

Piece = tuple[str, bool]
"""A text, and whether it is ours (else untrusted)."""


@dataclass(frozen=True, slots=True)
class ReadingPrompt:
    """What a model is asked: the system text and the pieces of the user's."""

    system: str
    user: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said, the tokens of both sides by its own count, and its price."""

    text: str
    input_tokens: int
    output_tokens: int
    cost: float


class PageSummarizer(Protocol):
    """A model that is asked about pages."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What its replies depend on beside the prompt, JSON values; names it in records."""
        ...

    def cut(self, text: str, max_tokens: int) -> str:
        """Cuts untrusted text to about so many tokens."""
        ...

    def room(self, prompt: ReadingPrompt, max_tokens: int) -> int | None:
        """Tokens that prompt and reply leave for a page; None: no limit is known."""
        ...

    async def reply(self, prompt: ReadingPrompt, max_tokens: int, attempt: int) -> Reply:
        """Asks once; `attempt` counts from 0.

        Raises:
            ToolFailure: The model could not be asked.
            StoppedError: A budget is spent.
        """
        ...

    def close(self) -> None:
        """Ends its connections."""
        ...


def _seed(attempt: int, *parts: str | int) -> int:
    return derive_seed("reading", attempt, *parts)


class ApiSummarizer:
    """Asks a chat API; from any event loop.

    Its tokenizer is unknown, so untrusted text loses all angle brackets: what control tokens are
    spelled with. A token is taken for four characters, and for a byte where money is at stake.

    Args:
        config: The API.
        budget: Where the price of each request is counted.

    Raises:
        UsageError: The environment has no key.
    """

    def __init__(self, config: OpenAiConfig, budget: Budget) -> None:
        self._config = config
        self._budget = budget
        self._api = ChatApi(config, section="agents.visit.model.api")
        self._thread = HttpThread("page reader")

    @property
    def identity(self) -> Mapping[str, Any]:
        """Address and name of the model."""
        return {"model": self._config.model, "url": self._config.url}

    def cut(self, text: str, max_tokens: int) -> str:
        """Cuts at the end of a word, taking a token for four characters."""
        most = 4 * max_tokens
        return text if len(text) <= most else f"{text[: most - 1].rsplit(None, 1)[0]}…"

    def room(self, prompt: ReadingPrompt, max_tokens: int) -> int | None:
        """None: an API does not say."""
        return None

    async def reply(self, prompt: ReadingPrompt, max_tokens: int, attempt: int) -> Reply:
        """Asks once, its greatest possible price kept free in the budget meanwhile."""
        user = "".join(text if ours else without_brackets(text) for text, ours in prompt.user)
        most_in = len((prompt.system + user).encode("utf-8", "replace"))
        config = self._config
        most = (most_in * config.input_price + max_tokens * config.output_price) / 1e6
        messages = [
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": user},
        ]
        paid = 0.0
        self._budget.hold(most, config.model)
        try:
            said = await self._thread.run(
                self._api.complete(
                    messages,
                    max_tokens,
                    most_in,
                    AGAIN_TEMPERATURE if attempt else 0.0,
                    seed=_seed(attempt) % 2**31,
                )
            )
            paid = said.cost
        except EngineError as failure:
            raise ToolFailure(f"the reading model could not be asked: {failure}") from failure
        finally:
            self._budget.pay(most, paid)
        return Reply(said.text, said.input_tokens, said.output_tokens, said.cost)

    def close(self) -> None:
        """Closes the connections."""
        self._thread.close(self._api.close())


class EngineSummarizer:
    """Asks the engine of the rollout that waits for the page, in a session of its own.

    Nothing of it is in the trajectory's tokens. Its replies are known by the trajectory too:
    weights change between the steps of RL while the policy's name stays.
    """

    def __init__(self) -> None:
        self._numbers = count()

    @property
    def identity(self) -> Mapping[str, Any]:
        """The policy, and the trajectory that asks."""
        caller = _caller()
        return {"model": caller.policy, "asked_by": caller.session, "seed": caller.seed}

    def cut(self, text: str, max_tokens: int) -> str:
        """Cuts by the policy's tokenizer."""
        return _caller().chat.cut(neutralise(text), max_tokens)

    def room(self, prompt: ReadingPrompt, max_tokens: int) -> int | None:
        """What the engine's context leaves.

        Raises:
            ToolFailure: Next to nothing.
        """
        caller = _caller()
        taken = len(_prompt_ids(caller.chat, prompt)) + max_tokens + SEAM_TOKENS
        most = caller.engine.max_context_tokens
        if most - taken < LEAST_PAGE_TOKENS:
            raise ToolFailure(
                f"reading a page takes {taken} tokens beside the page, the engine has {most}: "
                "lower agents.visit.model.output_tokens or raise agents.max_context_tokens"
            )
        return most - taken

    async def reply(self, prompt: ReadingPrompt, max_tokens: int, attempt: int) -> Reply:
        """Generates once; greedy at first.

        Raises:
            EngineError: The engine failed.
        """
        caller = _caller()
        chat = caller.chat
        ids = _prompt_ids(chat, prompt)
        sampling = SamplingParams(
            temperature=AGAIN_TEMPERATURE if attempt else 0.0,
            top_p=1.0,
            max_new_tokens=max_tokens,
            seed=_seed(attempt, caller.seed),
            stop_token_ids=chat.stop_token_ids,
        )
        session = f"{caller.session}/reading-{next(self._numbers)}"
        try:
            generation = await caller.engine.generate(session, ids, sampling)
        finally:
            caller.engine.release(session)
        said = [i for i in generation.token_ids if i not in chat.stop_token_ids]
        return Reply(chat.decode(said), len(ids), len(generation.token_ids), 0.0)

    def close(self) -> None:
        """Does nothing: the engine is the rollout's."""


def _prompt_ids(chat: ChatFormat, prompt: ReadingPrompt) -> list[int]:
    pieces = [(text if ours else neutralise(text), ours) for text, ours in prompt.user]
    return chat.first_prompt(prompt.system, pieces)


def _caller() -> Caller:
    caller = CALLER.get()
    if caller is None:
        raise ToolFailure(
            "no rollout waits for this page, so that there is no engine to read it with: "
            "set agents.visit.model.api.model, or agents.visit.reader to passages"
        )
    return caller
