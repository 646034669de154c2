"""Conversations as a Parquet table: the texts, which are all there is, and their parts to ask for.

Nothing is lost in it. Reading takes the texts alone; thought, call, observation and answer are
there for SQL.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from training.construction.formats.conversation import ChatTurn, Conversation
from training.construction.formats.messages import field_of, loads_json_text, texts_in, typed
from training.construction.formats.problems import RowError, RowProblem

_TURN = pa.struct(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("response", pa.string()),
        pa.field("given", pa.string(), nullable=False),
        pa.field("thought", pa.string()),
        pa.field("calls", pa.list_(pa.string()), nullable=False),
        pa.field("observation", pa.string()),
        pa.field("answer", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("conversation_id", pa.string(), nullable=False),
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("answers", pa.list_(pa.string()), nullable=False),
        pa.field("final_answer", pa.string()),
        pa.field("system", pa.string()),
        pa.field("user", pa.string(), nullable=False),
        pa.field("turns", pa.list_(_TURN), nullable=False),
        pa.field("tools", pa.string(), nullable=False),
        pa.field("rest", pa.string(), nullable=False),
    ]
)
"""`calls` and `rest` are JSON texts: their fields differ from row to row."""


def to_row(conversation: Conversation) -> dict[str, Any]:
    """A conversation as a row of `SCHEMA`."""
    return {
        "conversation_id": conversation.conversation_id,
        "question_id": conversation.question_id,
        "question": conversation.question,
        "answers": list(conversation.answers),
        "final_answer": conversation.final_answer,
        "system": conversation.system,
        "user": conversation.user,
        "turns": [_turn_row(turn) for turn in conversation.turns],
        "tools": conversation.tools,
        "rest": json.dumps(conversation.rest, ensure_ascii=False),
    }


def from_row(row: Mapping[str, Any]) -> Conversation:
    """Reads a row of `SCHEMA`.

    Raises:
        RowError: It is no conversation.
    """
    system = row.get("system")
    turns = tuple(_turn(each) for each in field_of(row, "turns", list))
    if not turns:
        raise RowError(RowProblem.NO_TURN, "'turns' is empty")
    rest = loads_json_text(typed(row.get("rest") or "{}", "rest", str), "rest")
    question = field_of(row, "question", str)
    if not question.strip():
        raise RowError(RowProblem.NO_QUESTION, "'question' is blank")
    return Conversation(
        question=question,
        answers=texts_in(row.get("answers"), "answers"),
        system=None if system is None else typed(system, "system", str),
        user=field_of(row, "user", str),
        turns=turns,
        tools=typed(row.get("tools") or "", "tools", str),
        rest=typed(rest, "rest", dict),
    )


def batches(table: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Rows of record batches, one after the other."""
    for batch in table:
        yield from batch.to_pylist()


def _turn_row(turn: ChatTurn) -> dict[str, Any]:
    parts = turn.parts
    return {
        "text": turn.text,
        "response": turn.response,
        "given": turn.given,
        "thought": parts.thought,
        "calls": [call.json for call in parts.calls],
        "observation": turn.observation,
        "answer": parts.answer,
    }


def _turn(value: Any) -> ChatTurn:
    row = typed(value, "turns", dict)
    response = row.get("response")
    return ChatTurn(
        text=field_of(row, "text", str),
        response=None if response is None else typed(response, "response", str),
        given=typed(row.get("given") or "", "given", str),
    )
