"""Several engines behind one face, each with its own weights, batch and thread.

On a CPU the kernels of a small model are too short to be shared out among threads: two threads in
one engine ran slower than one (48 rollouts of SmolLM2-135M on 2 cores: 73 s against 58 s), two
engines of one thread each took 46 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from agents.engines.base import Generation, SamplingParams
from agents.engines.batcher import EngineStats

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from agents.engines.transformers import TransformersEngine


class ReplicatedEngine:
    """Spreads sessions over engines of the same policy.

    A session stays where it began, since its keys and values lie there. Sessions that begin with
    the same prompt go to the same engine, which then computes that prompt once.

    Args:
        engines: At least one; they are closed with this engine.
    """

    def __init__(self, engines: Sequence[TransformersEngine]) -> None:
        if not engines:
            raise ValueError("got no engine; expected at least one")
        self._engines = tuple(engines)
        self._place_of_session: dict[str, int] = {}
        self._prompt_of_session: dict[str, tuple[int, ...]] = {}
        # Prompts that sessions in progress began with: their place and number of sessions.
        self._prompts: dict[tuple[int, ...], tuple[int, int]] = {}
        self._num_sessions = [0] * len(self._engines)

    @property
    def max_context_tokens(self) -> int:
        """Most tokens, prompt and generation together, that one session may hold."""
        return self._engines[0].max_context_tokens

    @property
    def dtype(self) -> torch.dtype:
        """Precision of weights, keys and values."""
        return self._engines[0].dtype

    @property
    def stats(self) -> EngineStats:
        """What all engines have computed so far; seconds are summed over engines."""
        parts = [engine.stats for engine in self._engines]
        return EngineStats(
            **{
                field.name: sum(getattr(part, field.name) for part in parts)
                for field in fields(EngineStats)
            }
        )

    async def generate(
        self, session: str, token_ids: Sequence[int], sampling: SamplingParams
    ) -> Generation:
        """Samples a continuation of a session's conversation, where that session lives.

        Raises:
            EngineError: The conversation does not fit, or its engine failed.
        """
        place = self._place(session, token_ids)
        return await self._engines[place].generate(session, token_ids, sampling)

    def release(self, session: str) -> None:
        """Frees what is kept for a session; unknown sessions are ignored."""
        place = self._place_of_session.pop(session, None)
        if place is None:
            return
        prompt = self._prompt_of_session.pop(session)
        self._num_sessions[place] -= 1
        _, count = self._prompts.pop(prompt)
        if count > 1:
            self._prompts[prompt] = place, count - 1
        self._engines[place].release(session)

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Gives all engines new weights; what sessions have kept is forgotten.

        Raises:
            EngineError: A generation is running, or a tensor is missing or misshapen.
        """
        for engine in self._engines:
            engine.load_weights(tensors)

    def rest(self) -> None:
        """Lets all engines rest."""
        for engine in self._engines:
            engine.rest()

    def close(self) -> None:
        """Ends all engines and frees their memory; running generations fail."""
        for engine in self._engines:
            engine.close()

    def _place(self, session: str, token_ids: Sequence[int]) -> int:
        place = self._place_of_session.get(session)
        if place is not None:
            return place
        prompt = tuple(token_ids)
        idlest = min(range(len(self._engines)), key=self._num_sessions.__getitem__)
        place, count = self._prompts.get(prompt, (idlest, 0))
        self._prompts[prompt] = place, count + 1
        self._place_of_session[session] = place
        self._prompt_of_session[session] = prompt
        self._num_sessions[place] += 1
        return place
