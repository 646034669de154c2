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
class Observation:
    """What a tool brought back.

    Attributes:
        text: Plain, untrusted text, not yet cut to the token budget.
        urls: Addresses of the pages it shows.
        error: What was wrong with the call (shown to the policy), empty where nothing was.
        pages: The same pages as they were read, for lineage.
    """

    text: str
    urls: tuple[str, ...] = ()
    error: str = ""
    pages: tuple[SeenPage, ...] = ()


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
