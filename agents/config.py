"""Configuration of the agent: its prompt, its limits and its page reader; free of torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from agents.configuration import Config

TEMPLATE_ROOM_TOKENS = 128
"""Room kept for the tokens that chat template and tags put around turns and observations."""


class VisitConfig(Config):
    """How a page is read and how much of it is shown."""

    mode: Literal["direct", "http"] = "direct"
    """`direct` reads the local web's pages in the process; `http` fetches them as HTML from its
    site on loopback, as a browser would."""

    max_words: int = Field(default=60, ge=1)
    """Most words shown of one page: its first sentence and the sentences nearest to the goal."""

    max_urls: int = Field(default=2, ge=1)
    """Most pages that one call may visit; a call with more gets an error."""

    max_page_bytes: int = Field(default=4_000_000, ge=1_000)
    """Most bytes read of one page over HTTP; the rest is left unread."""


class AgentConfig(Config):
    """One rollout: what the policy is told and how far it may go."""

    prompt: str = "compact"
    """`compact` (for small models), `paper` (WebDancer's in full), or the path of a template
    file with the same sections."""

    today: str = ""
    """Date shown by prompts that show one, as `2025-05-28`; empty means the current date."""

    max_turns: int = Field(default=8, ge=1)
    """Most generations; the last one is a forced answer. 1 asks for the answer at once, without
    any search."""

    max_tool_calls: int = Field(default=6, ge=0)
    """Most executed tool calls; after them the answer is forced."""

    max_context_tokens: int = Field(default=1280, ge=64)
    """Most tokens of one conversation, prompt and all turns together; the answer is forced while
    there is still room for it."""

    max_turn_tokens: int = Field(default=96, ge=1)
    """Most tokens sampled in one turn; a longer turn is cut off and thereby malformed."""

    answer_tokens: int = Field(default=32, ge=1)
    """Room kept for a forced answer, and the most tokens sampled for it."""

    observation_tokens: int = Field(default=128, ge=8)
    """Most tokens of one tool response; the rest is cut off at the end of a word."""

    search_results: int = Field(default=3, ge=1, le=50)
    """Results shown for each query of a search."""

    search_queries: int = Field(default=3, ge=1)
    """Most queries that one search may batch; a call with more gets an error."""

    show_urls: bool = True
    """Whether search results show addresses. Without them titles serve as addresses for visits,
    which saves tokens."""

    deadline_s: float = Field(default=900.0, gt=0)
    """Seconds after which a rollout is given up, waiting for the engine included."""

    tool_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds after which one tool call is given up."""

    visit: VisitConfig = VisitConfig()
    """The page reader."""

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        needed = (
            self.max_turn_tokens
            + self.observation_tokens
            + self.answer_tokens
            + TEMPLATE_ROOM_TOKENS
        )
        if self.max_turns > 1 and needed > self.max_context_tokens:
            raise ValueError(
                f"max_context_tokens is {self.max_context_tokens}, but one turn, one observation "
                f"and a forced answer need {needed} tokens; raise it or lower max_turn_tokens, "
                "observation_tokens or answer_tokens"
            )
        return self
