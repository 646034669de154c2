"""Training questions that the base policy answers without any tool: what a search teaches nothing.

DeepResearcher (arXiv 2504.03160) leaves out the questions that its base model answers
in one of ten attempts, so that what is rewarded is searching and not remembering.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from agents.config import AgentConfig
from agents.configuration import Config
from evaluation.scoring import score_answer

_PROMPT = "closed_book"
_TAG = re.compile(r"\s*<")


class ClosedBookConfig(Config):
    """Whether the base policy is asked the training questions without tools, before all else."""

    attempts: Annotated[int, Field(ge=0)] = 0
    """Answers sampled for each question (DeepResearcher: 10); one right one makes a question known.
    0 asks nothing."""
    num_questions: Annotated[int, Field(ge=0)] = 0
    """Training questions asked, the first ones in the order in which a run uses them; 0 asks
    all."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 1.0
    """Sampling temperature; 0 gives the same answer every time."""
    drop: bool = False
    """Whether known questions are left out of the training; else they are only counted."""


def without_tools(config: AgentConfig) -> AgentConfig:
    """The agent that answers at once, by a prompt that names no tool."""
    return config.model_copy(update={"prompt": _PROMPT, "max_turns": 1, "max_tool_calls": 0})


def said(text: str) -> str | None:
    """The answer in what was sampled after `<answer>`, None where there is none.

    More lenient than a rollout's: what counts is what is known, and not how it is written.
    """
    lines = _TAG.split(text, maxsplit=1)[0].strip().splitlines()
    return lines[0].strip() if lines else None


def num_right(answers: Sequence[str | None], golds: Sequence[str]) -> int:
    """How many answers to a question are right, by the rule that rewards use."""
    return sum(score_answer(answer, golds).accuracy == 1.0 for answer in answers)
