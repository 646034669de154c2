"""The contract of tools: arguments in, an observation of plain text out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class SeenPage:
    """A page that an observation came from.

    Attributes:
        url: Its canonical address.
        page: Digest of its snapshot; see `agents.snapshots`.
        query: The query that found it, or the goal it was read for.
    """

    url: str
    page: str
    query: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One page read by a model: a call of its own beside the policy's.

    Attributes:
        page: Digest of the page's snapshot.
        goal: What was looked for.
        model: Name of the model, or digest of the policy that read.
        prompt: SHA-256 of what the model was shown.
        output: Its last reply, as it came.
        num_attempts: How often it was asked.
        input_tokens: Tokens of all attempts, by its own count.
        output_tokens: Likewise, of its replies.
        cost: Their price when they were asked for; equal readings share one.
        problem: Why passages were shown instead; empty: the reply was used.
    """

    page: str
    goal: str
    model: str
    prompt: str
    output: str
    num_attempts: int
    input_tokens: int
    output_tokens: int
    cost: float
    problem: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What a tool brought back.

    Attributes:
        text: Plain, untrusted text, not yet cut to the token budget.
        urls: Addresses of the pages it shows.
        error: What was wrong with the call (shown to the policy), empty where nothing was.
        pages: The same pages as they were read, for lineage.
        readings: What models were asked about them.
    """

    text: str
    urls: tuple[str, ...] = ()
    error: str = ""
    pages: tuple[SeenPage, ...] = ()
    readings: tuple[Reading, ...] = ()


class ToolFailure(Exception):  # noqa: N818 - what failed lies outside
    """The tool failed for reasons outside the policy: the rollout ends without a reward."""


class Tool(Protocol):
    """One tool; an instance serves all rollouts of a process."""

    @property
    def name(self) -> str:
        """Name by which the policy calls it."""
        ...

    @property
    def schema(self) -> Mapping[str, Any]:
        """JSON schema of its arguments, as shown to the policy."""
        ...

    async def __call__(self, arguments: Mapping[str, Any]) -> Observation:
        """Executes one call.

        Bad arguments give an Observation with `error`, which the policy sees and may mend.

        Raises:
            ToolFailure: The tool itself failed.
        """
        ...
