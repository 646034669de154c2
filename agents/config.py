"""Configuration of the agent: its prompt, its limits and its page reader; free of torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from agents.configuration import Config
from agents.engines.config import OpenAiConfig

TEMPLATE_ROOM_TOKENS = 128
"""Room kept for the tokens that chat template and tags put around turns and observations."""


class ReadingConfig(Config):
    """The model that reads pages where `reader` is `model`."""

    api: OpenAiConfig = OpenAiConfig()
    """The API that is asked; while its `model` is empty, the policy's own engine reads. Its prices
    count towards `web.budget`, too."""

    page_tokens: int = Field(default=512, ge=16)
    """Most tokens of a page that the model is shown: longer ones are cut by choosing passages,
    and to what an engine's context has room for. An API's tokens are taken for four characters
    each."""

    output_tokens: int = Field(default=160, ge=16)
    """Most tokens of the model's reply."""

    retries: int = Field(default=1, ge=0)
    """How often the model is asked again after a reply that is not the JSON asked for; then
    passages are shown, and the record says why."""


class VisitConfig(Config):
    """How a page is read and how much of it is shown.

    A text in place of the section is its mode: `--set agents.visit=browser`.
    """

    main_key = "mode"

    mode: Literal["direct", "http", "browser"] = "direct"
    """`direct` reads the local web's pages in the process; `http` fetches them as HTML from its
    site on loopback; `browser` has Chromium open them there."""

    live: bool = False
    """Whether pages of the open web may be visited, too (modes `http` and `browser`)."""

    allow_origins: tuple[str, ...] = ()
    """Origins that may be visited although they are not on the public internet, such as
    `http://10.0.0.5:8080`; the local web's site always may."""

    open_results: bool | None = None
    """Whether pages of search results are opened as visited ones are, and recorded as they are
    read there; None: in mode `browser` alone."""

    reader: Literal["passages", "model"] = "passages"
    """How a page is read for the goal: `passages` chooses sentences of it; `model` has a model
    write evidence and a summary, each reading recorded as a call of its own."""

    model: ReadingConfig = ReadingConfig()
    """The model of `reader` `model`."""

    max_words: int = Field(default=60, ge=1)
    """Most words shown of one page: its first sentence and the sentences nearest to the goal."""

    max_urls: int = Field(default=2, ge=1)
    """Most pages that one call may visit; a call with more gets an error."""

    max_page_bytes: int = Field(default=4_000_000, ge=1_000)
    """Most bytes read of one page, unpacked; the rest is left unread."""

    timeout_s: float = Field(default=20.0, gt=0)
    """Seconds for one page, with its redirects, waits and retries."""

    extraction_s: float = Field(default=10.0, gt=0)
    """Seconds for taking the text out of one page of the open web."""

    max_redirects: int = Field(default=5, ge=0)
    """Most redirects followed for one page; each is checked as the first address was."""

    retries: int = Field(default=2, ge=0)
    """How often a failed attempt is repeated (timeout, broken connection, 429, 5xx)."""

    retry_wait_s: float = Field(default=0.5, ge=0)
    """Seconds before the first retry, doubled for each further one, with jitter; a server's
    Retry-After is kept where there is time for it."""

    max_per_host: int = Field(default=8, ge=1)
    """Most pages of one host that are read at once."""

    host_failures: int = Field(default=8, ge=1)
    """Failures in a row after which a host is left alone for `host_rest_s`."""

    host_rest_s: float = Field(default=30.0, ge=0)
    """Seconds for which a failing host is left alone; visits fail at once meanwhile."""

    robots: bool = True
    """Whether robots.txt is kept on the open web."""

    interval_s: float = Field(default=1.0, ge=0)
    """Least seconds between two visits to one host of the open web; robots.txt may ask for more."""

    user_agent: str = "Mozilla/5.0 (compatible; evolvesearch)"
    """What we call ourselves; robots.txt addresses us as `evolvesearch`."""

    browser_tabs: int = Field(default=3, ge=1)
    """Most pages that Chromium has open at once."""

    browser_script_s: float = Field(default=5.0, gt=0)
    """Seconds that a page's scripts may take; a page that needs more is read without them."""

    browser_settle_s: float = Field(default=1.0, ge=0)
    """Most seconds that a page with scripts is given to fall quiet before it is read."""

    browser_max_elements: int = Field(default=200_000, ge=1)
    """Most elements of a page that Chromium is asked to write out; one with more is refused."""

    browser_reuse: int = Field(default=50, ge=1)
    """Visits to the local site after which a browser context is replaced; a page of the open
    web always gets a fresh one."""

    @property
    def without_policy(self) -> Self:
        """The same for work without a policy: what its engine would read, passages do."""
        if self.reader == "model" and not self.model.api.model:
            return self.model_copy(update={"reader": "passages"})
        return self

    @model_validator(mode="after")
    def _live_needs_requests(self) -> Self:
        if self.live and self.mode == "direct":
            raise ValueError(
                "live pages cannot be read in mode 'direct'; set mode to 'http' or 'browser'"
            )
        return self


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

    max_failed_share: float = Field(default=0.05, ge=0, le=1)
    """Share of a stage's rollouts that may fail for reasons outside the policy (tools, engine,
    deadline); above it the stage stops. A handful never stops one."""

    visit: VisitConfig = VisitConfig()
    """The page reader; a text alone is its mode."""

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
