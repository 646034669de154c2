"""LLaMA-Factory's rows: `sharegpt` with calls and observations of their own, and `alpaca`.

In `sharegpt` a call is a `function_call` (thought in its tags, then the call's JSON, or a list of
calls), its response an `observation`; `human` and `observation` alternate with `gpt` and
`function_call`. In `alpaca` there are texts alone: everything before the last turn is `history`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from training.construction.formats.columns import columns_from, columns_of
from training.construction.formats.conversation import Conversation
from training.construction.formats.messages import (
    Message,
    conversation_from,
    field_of,
    turn_messages,
    typed,
)
from training.construction.formats.problems import RowError, RowProblem
from training.construction.formats.turn_text import (
    Call,
    call_of,
    is_wrapped,
    read_response,
    read_turn,
    write_response,
    write_turn,
)

_THOUGHT = re.compile(r"\s*<think>\n?(.*?)\n?</think>\s*", re.DOTALL)
_SHAREGPT = ("conversations", "system")
_ALPACA = ("instruction", "input", "output", "history", "system")
_ROLES = ("human", "gpt", "function_call", "observation", "system")


def from_sharegpt_row(row: Mapping[str, Any]) -> Conversation:
    """Reads a `sharegpt` row.

    Raises:
        RowError: It is no conversation.
    """
    values = field_of(row, "conversations", list)
    messages = [_message(each) for each in values]
    system = row.get("system")
    if system is not None and not (messages and messages[0].role == "system"):
        messages.insert(0, Message("system", typed(system, "system", str)))
    return _conversation(messages, row, _SHAREGPT)


def to_sharegpt_row(conversation: Conversation) -> dict[str, Any]:
    """A conversation as a `sharegpt` row."""
    values = [{"from": "human", "value": conversation.user}]
    for turn in conversation.turns:
        text = turn.given + turn.text
        parts = read_turn(text)
        if parts.calls and not parts.num_broken_calls:
            calls = [json.loads(call.json) for call in parts.calls]
            thought = "" if parts.thought is None else f"{write_turn(parts.thought, (), None)}\n"
            shown = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
            values.append({"from": "function_call", "value": thought + shown})
        else:
            values.append({"from": "gpt", "value": text})
        if turn.response is not None and is_wrapped(turn.response):
            values.append({"from": "observation", "value": read_response(turn.response)})
        elif turn.response is not None:
            values.append({"from": "human", "value": turn.response})
    row: dict[str, Any] = {"conversations": values}
    if conversation.system is not None:
        row["system"] = conversation.system
    return row | columns_of(conversation, tools_rendered=False)


def from_alpaca_row(row: Mapping[str, Any]) -> Conversation:
    """Reads an `alpaca` row.

    Raises:
        RowError: It is no conversation.
    """
    pairs = [
        typed(each, "history", list) for each in typed(row.get("history") or [], "history", list)
    ]
    if any(len(pair) != 2 for pair in pairs):
        raise RowError(RowProblem.WRONG_TYPE, "'history' is no list of pairs")
    asked = field_of(row, "instruction", str)
    if row.get("input"):
        asked = f"{asked}\n{typed(row['input'], 'input', str)}"
    pairs.append([asked, field_of(row, "output", str)])
    system = row.get("system")
    messages = [] if system is None else [Message("system", typed(system, "system", str))]
    for user, assistant in pairs:
        messages.append(Message("user", typed(user, "history", str)))
        messages.append(Message("assistant", typed(assistant, "history", str)))
    return _conversation(messages, row, _ALPACA)


def to_alpaca_row(conversation: Conversation) -> dict[str, Any] | None:
    """A conversation as an `alpaca` row; None where it does not end on a turn."""
    if not conversation.turns or conversation.turns[-1].response is not None:
        return None
    texts = [conversation.user, *(each.content for each in turn_messages(conversation))]
    *history, (instruction, output) = zip(texts[::2], texts[1::2], strict=True)
    row: dict[str, Any] = {
        "instruction": instruction,
        "input": "",
        "output": output,
        "history": [list(pair) for pair in history],
    }
    if conversation.system is not None:
        row["system"] = conversation.system
    return row | columns_of(conversation, tools_rendered=False)


def dataset_info(name: str, file_name: str, form: str) -> dict[str, Any]:
    """The entry of `dataset_info.json` that tells LLaMA-Factory of a file.

    Args:
        name: The data set's name.
        file_name: The file, beside `dataset_info.json`.
        form: `sharegpt` or `alpaca`.
    """
    columns = {
        "sharegpt": {"messages": "conversations", "system": "system"},
        "alpaca": {
            "prompt": "instruction",
            "query": "input",
            "response": "output",
            "system": "system",
            "history": "history",
        },
    }
    return {name: {"file_name": file_name, "formatting": form, "columns": columns[form]}}


def _conversation(
    messages: list[Message], row: Mapping[str, Any], form: tuple[str, ...]
) -> Conversation:
    columns = columns_from(row, form)
    return conversation_from(
        messages,
        question=columns.question,
        answers=columns.answers,
        tools=columns.tools,
        rest=columns.rest,
    )


def _message(value: Any) -> Message:
    row = typed(value, "conversations", dict)
    role, text = field_of(row, "from", str), field_of(row, "value", str)
    if role not in _ROLES:
        raise RowError(RowProblem.UNKNOWN_ROLE, f"role {role!r}, expected {', '.join(_ROLES)}")
    if role == "function_call":
        return Message("assistant", _called(text))
    if role == "observation":
        return Message("user", write_response(text))
    return Message({"human": "user", "gpt": "assistant"}.get(role, role), text)


def _called(value: str) -> str:
    """The turn that a `function_call` says."""
    thought = _THOUGHT.match(value)
    body = value[thought.end() :] if thought else value
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RowError(RowProblem.BAD_CALL, f"a function_call is not JSON: {error}") from error
    calls: list[Call] = []
    for each in said if isinstance(said, list) else [said]:
        call = call_of(json.dumps(each, ensure_ascii=False))
        if call is None:
            raise RowError(RowProblem.BAD_CALL, "a function_call without name and arguments")
        calls.append(call)
    return write_turn(thought[1] if thought else None, calls, None)
