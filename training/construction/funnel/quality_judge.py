"""A model that decides what the rules of quality cannot, and may say that it cannot either."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from agents.protocol import without_brackets
from agents.sections import split_sections
from evaluation.judging.api import ApiJudge
from evaluation.judging.config import JudgeConfig
from evaluation.judging.marks import Grade, VerdictCache
from evaluation.judging.prompts import JudgePrompt
from training.construction.formats.conversation import Conversation
from training.construction.funnel.config import FunnelConfig
from training.construction.funnel.verdicts import Check, Finding, Outcome

_ASKED = {
    Check.GOAL: "Does the final answer give what the question asks for, of the kind it asks for?",
    Check.GROUNDING: "Is what the final answer claims stated in the observations, or does it "
    "follow from them? What the observations do not show counts as invented.",
    Check.LOGIC: "Do the thoughts follow from the observations and from each other, and does the "
    "final answer follow from the last thought? A thought that takes for seen what no observation "
    "had shown yet is a fault; a supposition is none.",
}
_MARKS = re.compile(r"\{\{ (asked|noticed|question|answer|turns) \}\}")
_OUTCOMES = {
    Grade.CORRECT: Outcome.PASS,
    Grade.INCORRECT: Outcome.FAIL,
    Grade.NOT_ATTEMPTED: Outcome.UNCLEAR,
    Grade.UNJUDGED: Outcome.UNCLEAR,
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """What rules could not decide.

    Attributes:
        conversation: The conversation.
        finding: The finding that is unclear.
    """

    conversation: Conversation
    finding: Finding


class QualityJudge(Protocol):
    """Decides what rules cannot."""

    def decide(self, doubts: Sequence[Doubt]) -> list[Finding]:
        """Says what becomes of doubts.

        Returns:
            A finding a doubt, in their order; unclear where it cannot tell either, or failed.

        Raises:
            BudgetError: Its budget is spent; what it said is in its cache.
        """
        ...

    def close(self) -> None:
        """Ends its connections."""
        ...


class ApiQualityJudge:
    """Asks a model behind a chat API, as evaluation's judges do.

    Args:
        config: The model.
        funnel: How much of a conversation it is shown.
        cache: Where its verdicts are kept; None keeps them while it lives.

    Raises:
        UsageError: The environment has no key.
    """

    def __init__(
        self, config: JudgeConfig, funnel: FunnelConfig, cache: VerdictCache | None = None
    ) -> None:
        self._chars = funnel.quality_judge_chars
        self._judge = ApiJudge(config, cache, "construct.funnel.quality_judge", quality_prompt())

    def decide(self, doubts: Sequence[Doubt]) -> list[Finding]:
        """Asks about each doubt; equal ones once.

        Raises:
            BudgetError: Its budget is spent; what it said is in its cache.
        """
        shown = [shown_doubt(doubt, self._chars) for doubt in doubts]
        marks = self._judge.verdicts(list(dict.fromkeys(shown)))
        findings = []
        for doubt, text in zip(doubts, shown, strict=True):
            mark, old = marks[text], doubt.finding
            outcome = _OUTCOMES[mark.grade]
            reason = None if outcome is Outcome.PASS else old.reason
            findings.append(Finding(old.check, outcome, reason, mark.reason, old.turn, mark.judge))
        return findings

    def close(self) -> None:
        """Closes the connections."""
        self._judge.close()


@cache
def quality_prompt() -> JudgePrompt:
    """The prompt of this package, with evaluation's strict contract of replies."""
    path = Path(__file__).parent / "prompts" / "quality.md"
    sections = split_sections(path.read_text(encoding="utf-8"))
    return JudgePrompt(
        name="quality",
        system=sections["system"],
        user=sections["user"],
        reminder=sections["reminder"],
        grade_field="verdict",
        reason_field="reason",
        grades={
            "pass": Grade.CORRECT,
            "fail": Grade.INCORRECT,
            "cannot_tell": Grade.NOT_ATTEMPTED,
        },
    )


def shown_doubt(doubt: Doubt, most_chars: int) -> str:
    """What a model is shown: each part a JSON value, which no part can break out of.

    Args:
        doubt: What is in doubt.
        most_chars: Most characters of the turns; each gets its share, and is cut in its middle.
    """
    conversation = doubt.conversation
    share = most_chars // (2 * max(1, len(conversation.turns)))
    turns = []
    for turn in conversation.turns:
        turns.append({"policy": _cut(turn.text, share)})
        if turn.observation is not None:
            turns.append({"observation": _cut(turn.observation, share)})
    values = {
        "asked": _ASKED[doubt.finding.check],
        "noticed": f"{doubt.finding.reason}: {doubt.finding.detail}",
        "question": conversation.question,
        "answer": conversation.final_answer or "",
        "turns": turns,
    }
    shown = {
        name: without_brackets(json.dumps(value, ensure_ascii=False))
        for name, value in values.items()
    }
    # All at once: a text that spells a mark stays a text.
    return _MARKS.sub(lambda mark: shown[mark[1]], quality_prompt().user)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} […] {text[-half:]}"
