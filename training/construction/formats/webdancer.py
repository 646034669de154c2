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
        functions = json.loads(conversation.tools) if conversation.tools else []
        row = {**_FIELDS, "functions": functions, "tool_calls": [], **row}
    if texts_in(row.get("answer"), "answer") != conversation.answers:
        row["answer"] = [list(conversation.answers)]
    messages = [*first_messages(conversation), *turn_messages(conversation)]
    row["messages"] = [row_of(message) for message in messages]
    return row
