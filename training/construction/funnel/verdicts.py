"""What the funnel says: findings of its checks, and one verdict a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """The funnel's stages, in their order."""

    VALIDITY = "validity"
    CORRECTNESS = "correctness"
    QUALITY = "quality"


class Check(StrEnum):
    """The checks, in their order; each belongs to one stage."""

    FORM = "form"
    ANSWER = "answer"
    REPETITION = "repetition"
    REDUNDANCY = "redundancy"
    GOAL = "goal"
    GROUNDING = "grounding"
    LOGIC = "logic"

    @property
    def stage(self) -> Stage:
        """The stage it belongs to."""
        stages = {Check.FORM: Stage.VALIDITY, Check.ANSWER: Stage.CORRECTNESS}
        return stages.get(self, Stage.QUALITY)


class Outcome(StrEnum):
    """What a check came to."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNCLEAR = "unclear"
    """Neither the rules nor a judge could tell."""


class Reason(StrEnum):
    """Why a check did not pass; each belongs to one check."""

    # form
    CUT_OFF = "cut_off"
    """A tag is opened and not closed: the turn was truncated."""
    CONTROL_TOKEN = "control_token"  # noqa: S105
    NO_THOUGHT = "no_thought"
    NO_ACTION = "no_action"
    SEVERAL_ACTIONS = "several_actions"
    TEXT_OUTSIDE = "text_outside"
    """Text outside the tags, or tags in another order."""
    BROKEN_CALL = "broken_call"
    UNKNOWN_TOOL = "unknown_tool"
    BAD_ARGUMENTS = "bad_arguments"
    """A search without queries, a visit without address or goal."""
    EMPTY_ANSWER = "empty_answer"
    EARLY_ANSWER = "early_answer"
    """An answer, and turns after it."""
    NO_ANSWER = "no_answer"
    """The last turn is no answer."""
    NO_CALL = "no_call"
    """Fewer calls than `min_tool_calls`."""
    FOREIGN_MARK = "foreign_mark"
    """The answer begins with another protocol's words ("Action: Final Answer")."""
    # answer
    WRONG = "wrong"
    NOT_ATTEMPTED = "not_attempted"
    NO_GOLD = "no_gold"
    """No right answer is known (unclear)."""
    UNJUDGED = "unjudged"
    """The judge failed (unclear)."""
    NOT_SURE = "not_sure"
    """Rules cannot tell and there is no judge (unclear)."""
    # repetition
    REPEATED_NGRAM = "repeated_ngram"
    # redundancy
    REPEATED_CALL = "repeated_call"
    SIMILAR_CALL = "similar_call"
    # goal
    GIVES_UP = "gives_up"
    OTHER_KIND = "other_kind"
    """No yes or no, number, year or name where one was asked for."""
    # grounding
    NOTHING_SEEN = "nothing_seen"
    """No observation has any text."""
    ANSWER_NOT_SEEN = "answer_not_seen"
    FACTS_NOT_SEEN = "facts_not_seen"
    NOTHING_TO_LOOK_FOR = "nothing_to_look_for"
    """The answer names nothing that an observation could show (unclear)."""
    # logic
    UNSEEN_ADDRESS = "unseen_address"
    """A page is visited whose address nobody had shown."""
    NOT_CONCLUDED = "not_concluded"
    """The last thought does not come to the answer."""
    AGAINST_THOUGHT = "against_thought"
    """The last thought concludes the opposite."""
    CLAIMS_UNSEEN = "claims_unseen"
    """A first thought speaks of results before there are any."""
    DOUBTED = "doubted"
    """The last thought says that it was not found (unclear)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: The check.
        outcome: Pass, fail or unclear.
        reason: Why not, None where it passed.
        detail: What was found, in a few words; where it passed, by what.
        turn: The turn it was found in; None where it is of no single one.
        judge: Who said so: `rules`, or a judge's identity.
    """

    check: Check
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    turn: int | None = None
    judge: str = "rules"


@dataclass(frozen=True, slots=True)
class FunnelVerdict:
    """What becomes of one conversation.

    Attributes:
        conversation_id: The conversation.
        question_id: Its question.
        kept: Whether it is kept.
        fell_at: The check it fell at; None where it is kept.
        reason: Why it fell; None where it is kept.
        unclear: Checks that nobody could decide, those that did not make it fall included.
        findings: Of each check that was made, in order.
    """

    conversation_id: str
    question_id: str
    kept: bool
    fell_at: Check | None
    reason: Reason | None
    unclear: tuple[Check, ...]
    findings: Sequence[Finding]

    @property
    def stage(self) -> Stage | None:
        """The stage it fell at."""
        return self.fell_at.stage if self.fell_at else None


def passed(check: Check, detail: str = "") -> Finding:
    """A check that passed."""
    return Finding(check, Outcome.PASS, None, detail)


def failed(check: Check, reason: Reason, detail: str = "", turn: int | None = None) -> Finding:
    """A check that failed."""
    return Finding(check, Outcome.FAIL, reason, detail, turn)


def unclear(check: Check, reason: Reason, detail: str = "", turn: int | None = None) -> Finding:
    """A check that rules cannot decide."""
    return Finding(check, Outcome.UNCLEAR, reason, detail, turn)
