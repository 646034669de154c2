"""An engine that plays turns whose text is known, through the very runner that all others use.

Cold-start trajectories are made with it: their turns follow a known chain, but prompt, tool
calls, observations, limits, tokens and mask are those of real rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agents.chat_format import ChatFormat, Tokenizer
from agents.engines.base import Generation, SamplingParams
from agents.errors import EngineError

Script = Callable[[str], str]
"""Gets the text that was put in front of this turn (the prompt, or a tool's response and what is
around it) and returns the turn's text, without an end-of-turn token."""


class ScriptedEngine:
    """Plays one script for each session; every logprob is 0.

    Args:
        scripts: A script for each session.
        tokenizer: Encodes the texts.
        max_context_tokens: Most tokens of one session.
    """

    def __init__(
        self, scripts: Mapping[str, Script], tokenizer: Tokenizer, max_context_tokens: int
    ) -> None:
        self._scripts = dict(scripts)
        self._chat = ChatFormat(tokenizer)
        self._max_context_tokens = max_context_tokens
        self._num_seen: dict[str, int] = {}

    @property
    def max_context_tokens(self) -> int:
        """Most tokens of one session."""
        return self._max_context_tokens

    async def generate(
        self, session: str, token_ids: Sequence[int], sampling: SamplingParams
    ) -> Generation:
        """Plays the session's next turn, cut off at the limit like any other.

        Raises:
            EngineError: The session has no script, or the conversation does not fit.
        """
        script = self._scripts.get(session)
        if script is None:
            raise EngineError(f"there is no script for session {session!r}")
        new_text = self._chat.decode(token_ids[self._num_seen.get(session, 0) :])
        turn = [*self._chat.encode(script(new_text)), self._chat.end_of_turn]
        sampled = tuple(turn[: sampling.max_new_tokens])
        num_tokens = len(token_ids) + len(sampled)
        if num_tokens > self._max_context_tokens:
            raise EngineError(
                f"the conversation has {num_tokens} tokens, the limit is {self._max_context_tokens}"
            )
        self._num_seen[session] = num_tokens
        ended = sampled[-1] == self._chat.end_of_turn
        return Generation(sampled, (0.0,) * len(sampled), "stop" if ended else "length")

    def release(self, session: str) -> None:
        """Forgets what a session has seen."""
        self._num_seen.pop(session, None)

    def close(self) -> None:
        """Frees the scripts."""
        self._scripts.clear()
        self._num_seen.clear()
