"""The contract of engines: token ids in, sampled token ids and logprobs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


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
            temperature 0: under the untempered one); None where the engine knows none.
        finish_reason: `stop` at a stop id, `length` at the limit.
        cost: What was paid for it, in the currency of the engine's prices.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    finish_reason: Literal["stop", "length"]
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How hard an engine is pressed.

    Attributes:
        num_running: Generations that it computes.
        num_waiting: Generations that it has accepted and not begun, or interrupted.
        memory_share: Share of its memory for keys and values in use; None where unknown.
    """

    num_running: int
    num_waiting: int
    memory_share: float | None = None


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


class PolicyEngine(Engine, Protocol):
    """An engine whose weights a trainer may replace between generations."""

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over new weights; what sessions have kept is forgotten.

        Args:
            tensors: State dict of the causal LM, in any precision and on any device.

        Raises:
            EngineError: A generation is running, the tensors do not fit, or the engine's weights
                are not ours to change.
        """
        ...

    def rest(self) -> None:
        """Gives up what memory it can until new weights come, for nobody generates before.

        Raises:
            EngineError: A generation is running.
        """
        ...


@runtime_checkable
class LoadReporting(Protocol):
    """An engine that says how hard it is pressed."""

    @property
    def load(self) -> EngineLoad:
        """The newest reading; cheap."""
        ...


def load_of(engine: Engine) -> EngineLoad | None:
    """An engine's load, None where it says nothing of it."""
    return engine.load if isinstance(engine, LoadReporting) else None
