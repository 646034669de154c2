"""Reading a page for a goal with a model (WebDancer's visit): evidence and a summary come back.

The page is cut to a budget first, by choosing passages, so that what is far down is not lost. A
reply that is not the JSON asked for is asked for again, a bounded number of times; then passages
are shown instead, and the record says why.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agents.config import ReadingConfig
from agents.sections import split_sections
from agents.tools.base import Reading
from agents.tools.opening import Remember
from agents.tools.passages import select_passages
from agents.tools.reading_models import PageSummarizer, ReadingPrompt

_FIELDS = ("rational", "evidence", "summary")
_GOAL_TOKENS = 64
_MARKS = re.compile(r"\{\{ (goal|page) \}\}")
_TEMPLATE = split_sections(
    (Path(__file__).parents[1] / "prompts/reading/page.md").read_text(encoding="utf-8")
)


@dataclass(frozen=True, slots=True)
class Extract:
    """What a model found on a page."""

    rational: str
    evidence: str
    summary: str


def parse_extract(text: str) -> Extract:
    """Parses a reply strictly.

    Raises:
        ValueError: It is not one JSON object of three texts, or its summary is empty.
    """
    try:
        found = json.loads(text)
        # Escapes such as \ud800 make strings that no file can hold.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the reply is not JSON: {error}") from error
    if not isinstance(found, dict) or set(found) != set(_FIELDS):
        raise ValueError(f"the reply is not an object of {', '.join(_FIELDS)}")
    if not all(isinstance(value, str) for value in found.values()):
        raise ValueError("the reply holds something that is no text")
    if not found["summary"].strip():
        raise ValueError("the summary is empty")
    return Extract(**{name: found[name].strip() for name in _FIELDS})


def _prompt(goal: str, page: str) -> ReadingPrompt:
    values = {"goal": goal, "page": page}
    parts = _MARKS.split(_TEMPLATE["user"].strip())
    pieces = [(values[part], False) if i % 2 else (part, True) for i, part in enumerate(parts)]
    return ReadingPrompt(_TEMPLATE["system"].strip(), tuple(pieces))


class ModelReader:
    """Reads pages with a model.

    Args:
        model: Who is asked.
        config: Limits.
        remember: Where replies are kept and found again.
    """

    def __init__(self, model: PageSummarizer, config: ReadingConfig, remember: Remember) -> None:
        self._model = model
        self._config = config
        self._remember = remember

    async def read(
        self, page: str, text: str, goal: str, passages: Callable[[], str]
    ) -> tuple[str, Reading]:
        """Reads a page for a goal.

        Args:
            page: Digest of its snapshot.
            text: Its plain text.
            goal: What is looked for.
            passages: Chooses what is shown where the model's replies are of no use.

        Returns:
            What to show, and the record of the call.

        Raises:
            ToolFailure: The model could not be asked.
            StoppedError: A budget is spent.
        """
        config = self._config
        # Words are at most as many as tokens, so the second cut is left with little.
        chosen = select_passages(text, goal, config.page_tokens)
        sought = self._model.cut(goal, _GOAL_TOKENS)
        room = self._model.room(_prompt(sought, ""), config.output_tokens)
        most = config.page_tokens if room is None else min(room, config.page_tokens)
        prompt = _prompt(sought, self._model.cut(chosen, most))
        asked = json.dumps([prompt.system, prompt.user])
        identity = dict(self._model.identity)
        request = {
            **identity,
            "prompt": hashlib.sha256(asked.encode()).hexdigest(),
            "page": page,
            "goal": goal,
            "output_tokens": config.output_tokens,
            "retries": config.retries,
        }
        said = await self._remember("reading", request, partial(self._ask, prompt))
        reading = Reading(
            page=page, goal=goal, model=identity["model"], prompt=request["prompt"], **said
        )
        if reading.problem:
            return passages(), reading
        found = parse_extract(reading.output)
        # The summary comes first: a long quotation must not push it out of the observation.
        evidence = f"\nEvidence: {found.evidence}" if found.evidence else ""
        return f"Summary: {found.summary}{evidence}", reading

    async def _ask(self, prompt: ReadingPrompt) -> dict[str, Any]:
        said: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0, "cost": 0.0}
        for attempt in range(self._config.retries + 1):
            reply = await self._model.reply(prompt, self._config.output_tokens, attempt)
            for name in said.keys() & {"input_tokens", "output_tokens", "cost"}:
                said[name] += getattr(reply, name)
            said |= {"output": reply.text, "num_attempts": attempt + 1, "problem": ""}
            try:
                parse_extract(reply.text)
            except ValueError as problem:
                said["problem"] = str(problem)
            else:
                break
        return said
