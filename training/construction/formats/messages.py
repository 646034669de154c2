"""Lists of messages as conversations, for every form that has roles and contents in order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.construction.formats.conversation import ChatTurn, Conversation
from training.construction.formats.problems import RowError, RowProblem

_QUESTION_MARKS = ("\n\nUser: ", "\nQuestion: ")
"""What stands in front of the question in prompts that go before it."""
_ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `role` is system, user, assistant or tool."""

    role: str
    content: str


def question_in(user: str) -> str:
    """The question within a first user text; the whole text where nothing marks it."""
    for mark in _QUESTION_MARKS:
        _, found, question = user.rpartition(mark)
        if found and question.strip():
            return question.strip()
    return user.strip()


def field_of(row: Mapping[str, Any], name: str, kind: type) -> Any:
    """A field that must be there.

    Raises:
        RowError: It is missing or of another type.
    """
    if name not in row:
        raise RowError(RowProblem.MISSING_FIELD, f"there is no {name!r}")
    return typed(row[name], name, kind)


def typed(value: Any, name: str, kind: type) -> Any:
    """A value of a type.

    Raises:
        RowError: It is of another one.
    """
    if not isinstance(value, kind):
        found = type(value).__name__
        raise RowError(RowProblem.WRONG_TYPE, f"expected {kind.__name__} as {name!r}, got {found}")
    return value


def texts_in(value: Any, name: str) -> tuple[str, ...]:
    """Texts in a text, a list of texts or nested lists of them (WebDancer nests its answers).

    Raises:
        RowError: There is something else in it.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple(text for each in typed(value, name, list) for text in texts_in(each, name))


def conversation_from(
    messages: Sequence[Message],
    *,
    question: str = "",
    answers: tuple[str, ...] = (),
    tools: str = "",
    rest: Mapping[str, Any] | None = None,
) -> Conversation:
    """Puts messages together: system (or none), user, then assistant and response by turns.

    Args:
        messages: The messages.
        question: The question, where the row names it apart.
        answers: Right answers.
        tools: The tools' schemas as JSON text.
        rest: Other fields of the row.

    Raises:
        RowError: They are in another order, nobody answers, or there is no question.
    """
    left = list(messages)
    system = left.pop(0).content if left and left[0].role == "system" else None
    if not left or left[0].role != "user":
        found = left[0].role if left else "nothing"
        raise RowError(RowProblem.WRONG_ORDER, f"expected the user first, got {found}")
    user = left.pop(0).content
    question = question or question_in(user)
    if not question.strip():
        raise RowError(RowProblem.NO_QUESTION, "the first user text is blank")
    if not left:
        raise RowError(RowProblem.NO_TURN, "nobody answers the user")
    turns: list[ChatTurn] = []
    for place, message in enumerate(left):
        said = place % 2 == 0
        if (message.role == "assistant") != said or message.role == "system":
            wanted = "assistant" if said else "user or tool"
            raise RowError(
                RowProblem.WRONG_ORDER,
                f"expected {wanted} at turn {place // 2}, got {message.role}",
            )
        if said:
            turns.append(ChatTurn(message.content))
        else:
            turns[-1] = ChatTurn(turns[-1].text, message.content)
    return Conversation(question, answers, system, user, tuple(turns), tools, dict(rest or {}))


def first_messages(conversation: Conversation) -> list[Message]:
    """What stands before the first turn."""
    system = conversation.system
    return [
        *([] if system is None else [Message("system", system)]),
        Message("user", conversation.user),
    ]


def turn_messages(conversation: Conversation) -> list[Message]:
    """The turns and their responses, as texts."""
    messages = []
    for turn in conversation.turns:
        messages.append(Message("assistant", turn.given + turn.text))
        if turn.response is not None:
            messages.append(Message("user", turn.response))
    return messages


def row_of(message: Message) -> dict[str, str]:
    """A message as a row has it."""
    return {"role": message.role, "content": message.content}


def message_from(value: Any) -> Message:
    """Reads a message with nothing but a role and a text.

    Raises:
        RowError: It is none.
    """
    row = typed(value, "message", dict)
    role = field_of(row, "role", str)
    if role not in _ROLES:
        raise RowError(RowProblem.UNKNOWN_ROLE, f"role {role!r}, expected {', '.join(_ROLES)}")
    return Message(role, field_of(row, "content", str))


def loads_json_text(text: str, name: str) -> Any:
    """JSON within a field.

    Raises:
        RowError: It is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError(RowProblem.WRONG_TYPE, f"{name!r} is not JSON: {error}") from error
