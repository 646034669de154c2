"""Search whose results are opened, as a person opens them: what is recorded is what was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agents.snapshots import PageRecorder
from agents.tools.base import Observation, SeenPage, Tool
from agents.tools.opening import PageOpener


class OpenedSearch:
    """A search tool around another one: it shows the same, and opens the pages of the results.

    Args:
        inner: Searches.
        opener: Opens pages.
        recorder: Where the pages are noted as they were read; None: nobody asks for them.
    """

    def __init__(
        self, inner: Tool, opener: PageOpener, recorder: PageRecorder | None = None
    ) -> None:
        self._inner = inner
        self._opener = opener
        self._recorder = recorder or PageRecorder()

    @property
    def name(self) -> str:
        """Name of the inner tool."""
        return self._inner.name

    @property
    def schema(self) -> Mapping[str, Any]:
        """Schema of the inner tool."""
        return self._inner.schema

    async def __call__(self, arguments: Mapping[str, Any]) -> Observation:
        """Searches, then opens each result.

        A result that cannot be opened stays as the search knows it.

        Raises:
            ToolFailure: The search failed, or a page for reasons outside the policy.
        """
        found = await self._inner(arguments)
        opened = await self._opener.open_all([seen.url for seen in found.pages])
        pages = [
            seen
            if page.problem
            else SeenPage(
                seen.url, self._recorder.note(seen.url, page.title, page.text), seen.query
            )
            for seen, page in zip(found.pages, opened, strict=True)
        ]
        return replace(found, pages=tuple(pages))
