"""Configuration of the funnel; free of anything heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agents.configuration import Config
from evaluation.judging.config import JudgeConfig
from training.construction.funnel.verdicts import Check

WhenUnclear = Literal["keep", "drop"]


class FunnelConfig(Config):
    """Which trajectories become SFT data.

    The defaults were set by reading the 200 trajectories that WebDancer published;
    docs/trajectory-data.md says what was seen.
    """

    without: tuple[Check, ...] = ()
    """Checks that are left out: `form`, `answer`, `repetition`, `redundancy`, `goal`,
    `grounding`, `logic`."""
    tools: tuple[str, ...] = ("search", "visit")
    """Tools that may be called."""
    min_tool_calls: int = Field(default=1, ge=0)
    """Fewest calls; 0 keeps answers from memory."""
    judge: JudgeConfig = JudgeConfig()
    """Who judges answers that rules cannot: kind `rules` nobody, so that they are unclear."""
    quality_judge: JudgeConfig = JudgeConfig()
    """Who decides where the rules of goal, grounding and logic cannot: kind `rules` nobody.
    `prompt` is not used, the prompt is the funnel's own."""
    quality_judge_chars: int = Field(default=24_000, ge=1_000)
    """Most characters of a trajectory that the quality judge is shown; observations are cut."""
    short_answer_words: int = Field(default=8, ge=1)
    """Up to so many words an answer is taken as it stands: right or wrong by rule. In longer ones
    the rules look for the part that answers."""
    ngram_words: int = Field(default=10, ge=2)
    """Words of the sequences whose repetition counts (WebDancer: 10)."""
    max_ngram_repeats: int = Field(default=4, ge=1)
    """Most occurrences of one such sequence in all that the policy said (WebDancer: 4)."""
    max_repeated_calls: int = Field(default=0, ge=0)
    """Most queries or addresses that were asked for before."""
    similar_call: float | None = Field(default=0.8, gt=0.0, le=1.0)
    """Share of common words from which on a query is one of an earlier turn's again; None: only
    equal ones are."""
    max_similar_calls: int = Field(default=1, ge=0)
    """Most such queries."""
    min_facts_seen: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of the names and numbers of an answer, the question's own aside, that observations
    must show. 0.5: answers translate, sum up and reckon; what is invented lies far below."""
    unclear_answer: WhenUnclear = "drop"
    """What becomes of a trajectory whose answer nobody could judge."""
    unclear_quality: WhenUnclear = "keep"
    """What becomes of a trajectory whose quality nobody could judge."""
