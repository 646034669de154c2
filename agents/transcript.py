"""The token-in-token-out transcript: ids, loss mask and logprobs of one conversation.

Tokens are the truth: the next prompt is the ids so far plus the ids of a suffix; nothing that was
sampled is decoded and encoded again. This is the one place where the loss mask is made, for SFT
and RL alike: 1 at sampled tokens, the end-of-turn token included, 0 at all others.

A model behind a chat API shows neither tokens nor logprobs. Its turns are recorded as the ids that
our tokenizer gives their text, with mask 0: no token of them was sampled, as far as anyone can
know, so that none is ever trained on as if it had been.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.engines.base import Generation
from agents.errors import EngineError


@dataclass(slots=True)
class Transcript:
    """A growing conversation; `token_ids`, `loss_mask` and `logprobs` have the same length.

    Attributes:
        token_ids: Ids so far; they end on a sampled token once anything was sampled.
        loss_mask: 1 at sampled tokens, 0 elsewhere.
        logprobs: Logprobs of sampled tokens, 0 elsewhere.
        num_prompt_tokens: Length of the first prompt.
    """

    token_ids: list[int] = field(default_factory=list)
    loss_mask: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    num_prompt_tokens: int = 0

    def __len__(self) -> int:
        return len(self.token_ids)

    def append(self, prompt: Sequence[int], generation: Generation) -> None:
        """Adds a generation and the prompt ids that were put in front of it.

        Both are added at once, so that a transcript never ends on a tool's response: a
        generation that failed leaves no trace.

        Raises:
            EngineError: The engine returned no token, or neither none nor one logprob a token.
        """
        num_sampled = len(generation.token_ids)
        logprobs = generation.logprobs
        if num_sampled == 0 or (logprobs is not None and len(logprobs) != num_sampled):
            raise EngineError(
                f"the engine returned {num_sampled} tokens and {len(logprobs or ())} logprobs; "
                "expected at least one token and as many logprobs"
            )
        if not self.token_ids:
            self.num_prompt_tokens = len(prompt)
        self.token_ids += [*prompt, *generation.token_ids]
        self.loss_mask += [0] * len(prompt) + [int(logprobs is not None)] * num_sampled
        self.logprobs += [0.0] * len(prompt) + list(logprobs or [0.0] * num_sampled)

    def prompt_only(self, prompt: Sequence[int]) -> None:
        """Records the first prompt of a conversation in which nothing was sampled."""
        assert not self.token_ids, "the transcript has begun"
        self.num_prompt_tokens = len(prompt)
        self.token_ids += prompt
        self.loss_mask += [0] * len(prompt)
        self.logprobs += [0.0] * len(prompt)
