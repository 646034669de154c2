"""What is wrong with a row that is read, and what a form cannot hold when one is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from training.construction.formats.conversation import Conversation


class RowProblem(StrEnum):
    """Why a row is no conversation; the first that is found is its reason."""

    NOT_TEXT = "not_text"
    """It is not UTF-8, or it holds half a surrogate pair, which no file can hold."""
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    """A field, a role or a content is not of its type."""
    UNKNOWN_ROLE = "unknown_role"
    WRONG_ORDER = "wrong_order"
    """Roles do not take turns: system, user, then assistant and response by turns."""
    NO_TURN = "no_turn"
    """Nobody answers the first user text."""
    NO_QUESTION = "no_question"
    """The first user text, or the question in it, is blank."""
    BAD_CALL = "bad_call"
    """A call that the form keeps apart from the text has no name, or arguments of no object."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was not read.

    Attributes:
        line: Its line, from 1; its row in a Parquet file.
        problem: What is wrong.
        detail: What was found, in a few words.
    """

    line: int
    problem: RowProblem
    detail: str


class RowError(Exception):
    """A row is no conversation; caught by whoever reads rows and counted as a `BadRow`."""

    def __init__(self, problem: RowProblem, detail: str) -> None:
        super().__init__(f"{problem}: {detail}")
        self.problem = problem
        self.detail = detail


class LossKind(StrEnum):
    """What became of something that a form has no place for."""

    LEFT_OUT = "left_out"
    """The whole conversation: the form has no place for its shape, so it is not written."""
    LAYOUT = "layout"
    """White space, the spelling of JSON or text outside the tags of a turn or a response."""
    GIVEN_PREFIX = "given_prefix"
    """Which part of a turn the policy did not say; it is written as if it had."""
    FIELDS = "fields"
    """Other fields of the row it came from."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What one conversation loses in a form.

    Attributes:
        conversation_id: Which conversation.
        kind: What kind of loss.
        detail: Where, in a few words.
    """

    conversation_id: str
    kind: LossKind
    detail: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds.

    Attributes:
        conversations: The conversations, in the file's order.
        lines: Line of each, from 1.
        bad: Rows that are none.
    """

    conversations: Sequence[Conversation]
    lines: Sequence[int]
    bad: Sequence[BadRow]

    @property
    def problems(self) -> dict[str, int]:
        """Number of bad rows by reason."""
        return dict(Counter(row.problem.value for row in self.bad))


@dataclass(frozen=True, slots=True)
class Writing:
    """What became of conversations that were written.

    Attributes:
        num_written: Conversations in the file.
        losses: What the form could not hold.
    """

    num_written: int
    losses: Sequence[Loss]

    @property
    def counts(self) -> dict[str, int]:
        """Number of losses by kind."""
        return dict(Counter(loss.kind.value for loss in self.losses))
