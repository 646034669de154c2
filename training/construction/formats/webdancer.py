"""WebDancer's published trajectories: ChatML messages with tags in the texts.

`{"type": "chatml", "task": …, "messages": [{"role", "content"}, …], "functions": […],
"tool_calls": [], "answer": [["…"]], "tag": …}`: calls and answers are tags in assistant texts,
responses are user texts. Rows that were read are written back byte by byte, their fields in the
same order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from training.construction.formats.conversation import Conversation
from training.construction.formats.messages import (
    conversation_from,
    field_of,
    first_messages,
    message_from,
    row_of,
    texts_in,
    turn_messages,
)
from training.construction.formats.problems import RowError

_FIELDS: dict[str, Any] = {"type": "chatml", "task": "agent/multiturn_search", "messages": None}


def from_row(row: Mapping[str, Any]) -> Conversation:
    """Reads a row.

    Raises:
        RowError: It is no conversation.
    """
    messages = [message_from(each) for each in field_of(row, "messages", list)]
    functions = row.get("functions")
    return conversation_from(
        messages,
        answers=texts_in(row.get("answer"), "answer"),
        tools=json.dumps(functions, ensure_ascii=False) if functions else "",
        rest={name: None if name == "messages" else value for name, value in row.items()},
    )


def to_row(conversation: Conversation) -> dict[str, Any]:
    """A conversation as a row; what came from elsewhere gets WebDancer's fields."""
    row = dict(conversation.rest)
    if "messages" not in row:
        row = {**_FIELDS, "functions": _functions(conversation.tools), "tool_calls": [], **row}
    if _answers(row) != conversation.answers:
        row["answer"] = [list(conversation.answers)]
    messages = [*first_messages(conversation), *turn_messages(conversation)]
    row["messages"] = [row_of(message) for message in messages]
    return row


def _functions(tools: str) -> Any:
    """The tools' schemas; a text that is no JSON stays one."""
    try:
        return json.loads(tools) if tools else []
    except (ValueError, RecursionError):
        return tools


def _answers(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """What a row's own field says; None where it is no WebDancer's."""
    try:
        return texts_in(row.get("answer"), "answer")
    except RowError:
        return None
