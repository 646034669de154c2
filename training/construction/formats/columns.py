"""The columns beside the messages, in every JSON form that is not WebDancer's own.

Trainers take what they know and let these be; reading finds them again, so that a conversation
keeps its question, its right answers and whatever else its first row had. They are JSON texts
where their types differ from row to row, which tables of one type a column could not hold.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from training.construction.formats.conversation import Conversation
from training.construction.formats.messages import loads_json_text, texts_in, typed

COLUMNS = ("question", "answers", "tool_schemas", "rest")
TOOLS = "tools"
"""The column that trainers render into the prompt themselves."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns say.

    Attributes:
        question: The question, empty where the row does not name it.
        answers: Right answers.
        tools: The tools' schemas as JSON text.
        rest: Other fields.
    """

    question: str
    answers: tuple[str, ...]
    tools: str
    rest: Mapping[str, Any]


def columns_of(conversation: Conversation, *, tools_rendered: bool) -> dict[str, Any]:
    """The columns of a conversation.

    Args:
        conversation: The conversation.
        tools_rendered: Whether the trainer shall render the schemas into the prompt. Where the
            texts show them already, it must not do so again.
    """
    schemas = {(TOOLS if tools_rendered else "tool_schemas"): conversation.tools}
    return {
        "question": conversation.question,
        "answers": list(conversation.answers),
        **schemas,
        "rest": json.dumps(conversation.rest, ensure_ascii=False),
    }


def columns_from(row: Mapping[str, Any], form: Collection[str]) -> Columns:
    """Reads the columns; fields that no form knows become `rest`.

    Args:
        row: The row.
        form: Fields that hold the messages.

    Raises:
        RowError: A column is not of its type.
    """
    tools = row.get("tool_schemas") or row.get(TOOLS) or ""
    known = {*form, *COLUMNS, TOOLS}
    rest: dict[str, Any] = {}
    if row.get("rest"):
        text = typed(row["rest"], "rest", str)
        rest = dict(typed(loads_json_text(text, "rest"), "rest", dict))
    rest |= {name: value for name, value in row.items() if name not in known}
    return Columns(
        question=typed(row.get("question") or "", "question", str),
        answers=texts_in(row.get("answers"), "answers"),
        tools=tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False),
        rest=rest,
    )
