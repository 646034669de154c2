"""The contract of engines: token ids in, sampled token ids and logprobs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How one generation is sampled.

    Attributes:
        temperature: 0 is greedy; otherwise logits are divided by it.
        top_p: Nucleus mass; 1.0 switches it off.
        max_new_tokens: Most tokens to sample, end-of-turn token included.
        seed: Seed of this generation's own random numbers.
        stop_token_ids: Ids that end the generation; the id is part of the result.
    """

    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    stop_token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """What was sampled.

    Attributes:
        token_ids: (T,) sampled ids, the stop id included where one ended it.
        logprobs: (T,) their natural log-probabilities under the tempered distribution (at
            temperature 0: under the untempered one).
        finish_reason: `stop` at a stop id, `length` at the limit.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: Literal["stop", "length"]


class Engine(Protocol):
    """Generates for many sessions at once; one session is one trajectory."""

    @property
    def max_context_tokens(self) -> int:
        """Most tokens, prompt and generation together, that one session may hold."""
        ...

    async def generate(
        self, session: str, token_ids: Sequence[int], sampling: SamplingParams
    ) -> Generation:
        """Samples a continuation of `token_ids`, the whole conversation of `session` so far.

        What of it the session has already seen is not computed again.

        Raises:
            EngineError: The conversation does not fit, or the engine failed.
        """
        ...

    def release(self, session: str) -> None:
        """Frees what is kept for a session; unknown sessions are ignored."""
        ...

    def close(self) -> None:
        """Ends the engine and frees its memory."""
        ...
