"""The visit tool: reads pages for a goal, from the local web, its site, or the open web."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from agents.config import AgentConfig
from agents.snapshots import PageRecorder
from agents.tools.base import Observation, Reading, SeenPage
from agents.tools.opening import PageOpener, ReadableWeb
from agents.tools.passages import select_passages
from agents.tools.reading import ModelReader

__all__ = ["ReadableWeb", "VisitTool"]


class VisitTool:
    """`visit` with `{"url": string | [string, …], "goal": string}` (WebDancer's schema).

    Args:
        opener: Opens pages.
        config: Limits.
        recorder: Where the pages are noted as they were read; None: nobody asks for them.
        reader: Reads them with a model; None: passages are chosen.
    """

    name = "visit"

    def __init__(
        self,
        opener: PageOpener,
        config: AgentConfig,
        recorder: PageRecorder | None = None,
        reader: ModelReader | None = None,
    ) -> None:
        self._reader = reader
        self._opener = opener
        self._recorder = recorder or PageRecorder()
        self._config = config.visit
        # Long pages are searched through beside the event loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="visit")

    @property
    def schema(self) -> Mapping[str, Any]:
        """JSON schema of its arguments."""
        return {
            "name": self.name,
            "description": "Visits one or more web pages and returns what they say about a goal.",
            "parameters": {
                "type": "object",
                "properties": {
                    "url": {
                        "type": ["string", "array"],
                        "items": {"type": "string"},
                        "description": f"One address, or up to {self._config.max_urls}.",
                    },
                    "goal": {"type": "string", "description": "What to look for on the pages."},
                },
                "required": ["url", "goal"],
            },
        }

    async def __call__(self, arguments: Mapping[str, Any]) -> Observation:
        """Reads the pages; one that does not exist is said to be missing."""
        urls, goal = arguments.get("url"), arguments.get("goal")
        if isinstance(urls, str):
            urls = [urls]
        most = self._config.max_urls
        if (
            set(arguments) != {"url", "goal"}
            or not isinstance(goal, str)
            or not isinstance(urls, list)
            or not all(isinstance(url, str) and url.strip() for url in urls)
            or not 1 <= len(urls) <= most
        ):
            error = f'visit takes {{"url": ..., "goal": "..."}} with 1 to {most} addresses'
            return Observation(f"Error: {error}.", error=error)
        loop = asyncio.get_running_loop()
        addresses = [url.strip() for url in urls]
        opened = await self._opener.open_all(addresses)
        texts = []
        visited: dict[str, SeenPage] = {}
        problems = []
        readings: list[Reading] = []
        for address, page in zip(addresses, opened, strict=True):
            if page.problem:
                problems.append(page.problem)
                texts.append(f"{address}: {page.problem}")
                continue
            seen = SeenPage(page.url, self._recorder.note(page.url, page.title, page.text), goal)
            visited.setdefault(page.url, seen)
            choose = partial(select_passages, page.text, goal, self._config.max_words)
            if self._reader is None:
                passage = await loop.run_in_executor(self._thread, choose)
            else:
                passage, reading = await self._reader.read(seen.page, page.text, goal, choose)
                readings.append(reading)
            # A single page is known by its address, and its first sentence names it.
            texts.append(f"{page.title}\n{passage}" if len(urls) > 1 else passage)
        error = "" if visited else problems[0]
        return Observation(
            "\n".join(texts),
            urls=tuple(visited),
            error=error,
            pages=tuple(visited.values()),
            readings=tuple(readings),
        )
