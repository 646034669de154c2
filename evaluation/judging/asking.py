"""One question to a judging model: asked again where its reply is no verdict, and remembered."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from agents.engines.chat_api import ChatApi, Message
from agents.errors import EngineError
from agents.tools.base import ToolFailure
from agents.web.breaker import CircuitBreaker
from evaluation.judging.config import JudgeConfig
from evaluation.judging.marks import Grade, JudgeItem, Mark
from evaluation.judging.prompts import JudgePrompt, judge_prompt

_TURN_TOKENS = 16
"""Bound of what a chat template puts around a message."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model said about one answer, as it is kept.

    Attributes:
        judge: Identity of the judge.
        asked: What it was shown.
        reply: What it replied, a verdict by its prompt's contract.
        input_tokens: Tokens in, of all its tries.
        output_tokens: Tokens out, of all its tries.
        cost: Price of all its tries.
    """

    judge: str
    asked: str
    reply: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def to_text(self) -> str:
        """The verdict as it is kept."""
        return json.dumps(asdict(self), sort_keys=True)


class Asker:
    """Asks a model about one answer at a time.

    Args:
        config: The model, the prompt and its patience.
        api: The client.
        prompt: What is asked in place of the configured prompt.

    Attributes:
        identity: Model and prompt; what marks carry.
    """

    def __init__(
        self, config: JudgeConfig, api: ChatApi, prompt: JudgePrompt | None = None
    ) -> None:
        self._config = config
        self._api = api
        self._prompt = judge_prompt(config.prompt) if prompt is None else prompt
        self._breaker = CircuitBreaker("the judge")
        self.identity = f"{config.api.model} {self._prompt.name}@{self._prompt.digest}"

    def shown(self, item: JudgeItem) -> str:
        """What the model is shown of an item."""
        return self._prompt.ask(item)

    def key(self, shown: str) -> str:
        """Names the verdict on what is shown: a hash of all that it depends on."""
        text = json.dumps([self._config.that_matters, self._prompt.digest, shown], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def kept_mark(self, shown: str, text: str) -> Mark | None:
        """The mark of a verdict that was kept; None where it is damaged or another's."""
        try:
            verdict = Verdict(**json.loads(text))
            if (verdict.judge, verdict.asked) != (self.identity, shown):
                return None
            return replace(self._mark(verdict), cached=True)
        except (ValueError, TypeError):
            return None

    async def ask(self, shown: str) -> tuple[Mark, Verdict | None]:
        """Asks about an item.

        Returns:
            The mark, and the verdict to keep; None where the model gave none.

        Raises:
            BudgetError: The budget is spent.
        """
        verdict = Verdict(self.identity, shown, "")
        messages: list[Message] = [
            {"role": "system", "content": self._prompt.system},
            {"role": "user", "content": shown},
        ]
        problem = ""
        for _ in range(self._config.num_retries + 1):
            try:
                self._breaker.check()
                said = await self._api.complete(
                    messages, self._config.max_tokens, _greatest_size(messages), temperature=0.0
                )
            except ToolFailure as failure:
                problem = str(failure)
                break
            except EngineError as failure:
                self._breaker.failed(str(failure))
                problem = str(failure)
                break
            self._breaker.succeeded()
            verdict = replace(
                verdict,
                reply=said.text,
                input_tokens=verdict.input_tokens + said.input_tokens,
                output_tokens=verdict.output_tokens + said.output_tokens,
                cost=verdict.cost + said.cost,
            )
            try:
                return self._mark(verdict), verdict
            except ValueError as error:
                problem = str(error)
                if said.finish_reason == "length":
                    problem = f"the reply was cut off at {self._config.max_tokens} tokens"
            # An empty turn of the assistant's is refused by many APIs.
            messages = [
                *messages[:2],
                {"role": "assistant", "content": said.text.strip() or "…"},
                {"role": "user", "content": self._prompt.reminder},
            ]
        tokens = verdict.input_tokens + verdict.output_tokens
        return Mark(Grade.UNJUDGED, problem, self.identity, False, tokens, verdict.cost), None

    def _mark(self, verdict: Verdict) -> Mark:
        grade, why = self._prompt.read(verdict.reply)
        tokens = verdict.input_tokens + verdict.output_tokens
        return Mark(grade, why, self.identity, False, tokens, verdict.cost)


def _greatest_size(messages: list[Message]) -> int:
    """Most tokens that messages can have: one a byte."""
    return sum(_TURN_TOKENS + len(message["content"].encode()) for message in messages)
