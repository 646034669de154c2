"""TRL's conversational rows, in three shapes.

* `messages`: `{"messages": […]}` with tags in the texts;
* `prompt_completion`: `{"prompt": […], "completion": […]}`, cut before the first turn;
* `tools`: messages with `tool_calls`, `reasoning_content` and responses of role `tool`, for chat
  templates that write tags of their own.

With the first two TRL's collator has to be told what not to learn: `assistant_only_loss`, since
responses stand within the completion. `tokens` makes the right mask without TRL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.construction.formats.columns import columns_from, columns_of
from training.construction.formats.conversation import Conversation
from training.construction.formats.messages import (
    Message,
    conversation_from,
    field_of,
    first_messages,
    message_from,
    row_of,
    turn_messages,
    typed,
)
from training.construction.formats.problems import RowError, RowProblem
from training.construction.formats.turn_text import (
    Call,
    is_wrapped,
    read_response,
    read_turn,
    write_response,
    write_turn,
)

_PARTS = ("messages",), ("prompt", "completion")


def from_row(row: Mapping[str, Any]) -> Conversation:
    """Reads a row of any of the three shapes.

    Raises:
        RowError: It is no conversation.
    """
    names = _PARTS[1] if "prompt" in row and "messages" not in row else _PARTS[0]
    values = [each for name in names for each in field_of(row, name, list)]
    columns = columns_from(row, names)
    return conversation_from(
        _messages(values),
        question=columns.question,
        answers=columns.answers,
        tools=columns.tools,
        rest=columns.rest,
    )


def to_messages_row(conversation: Conversation) -> dict[str, Any]:
    """A row of one list of messages."""
    messages = [*first_messages(conversation), *turn_messages(conversation)]
    columns = columns_of(conversation, tools_rendered=False)
    return {"messages": [row_of(each) for each in messages], **columns}


def to_prompt_completion_row(conversation: Conversation) -> dict[str, Any]:
    """A row of a prompt and its completion."""
    return {
        "prompt": [row_of(each) for each in first_messages(conversation)],
        "completion": [row_of(each) for each in turn_messages(conversation)],
        **columns_of(conversation, tools_rendered=False),
    }


def to_tools_row(conversation: Conversation) -> dict[str, Any]:
    """A row whose calls and responses stand apart from the texts."""
    messages: list[dict[str, Any]] = [row_of(each) for each in first_messages(conversation)]
    last = len(conversation.turns) - 1
    for place, turn in enumerate(conversation.turns):
        messages.append(_said(turn.given + turn.text, place == last))
        if turn.response is None:
            continue
        if is_wrapped(turn.response):
            messages.append({"role": "tool", "content": read_response(turn.response)})
        else:
            messages.append({"role": "user", "content": turn.response})
    return {"messages": messages, **columns_of(conversation, tools_rendered=True)}


def _said(text: str, last: bool) -> dict[str, Any]:
    parts = read_turn(text)
    calls = [
        {"type": "function", "function": {"name": call.tool, "arguments": dict(call.arguments)}}
        for call in parts.calls
    ]
    thought = {} if parts.thought is None else {"reasoning_content": parts.thought}
    if calls and not parts.num_broken_calls:
        return {"role": "assistant", **thought, "content": "", "tool_calls": calls}
    if last and thought and parts.answer is not None:
        return {"role": "assistant", **thought, "content": parts.answer}
    return {"role": "assistant", "content": text}


def _messages(values: Sequence[Any]) -> list[Message]:
    apart = any(
        isinstance(each, dict)
        and (each.get("tool_calls") or each.get("reasoning_content") is not None)
        for each in values
    )
    messages = []
    for place, value in enumerate(values):
        row = typed(value, "message", dict)
        if row.get("role") == "assistant" and apart:
            messages.append(Message("assistant", _text(row, place == len(values) - 1)))
            continue
        message = message_from(row)
        if message.role == "tool":
            message = Message("user", write_response(message.content))
        messages.append(message)
    return messages


def _text(row: Mapping[str, Any], last: bool) -> str:
    """The text of an assistant's message in a row whose parts stand apart."""
    thought = row.get("reasoning_content")
    if thought is not None:
        typed(thought, "reasoning_content", str)
    content: str = typed(row.get("content") or "", "content", str)
    calls = [_call(each) for each in typed(row.get("tool_calls") or [], "tool_calls", list)]
    if calls:
        if thought is not None and content:
            raise RowError(RowProblem.WRONG_TYPE, "a call beside both a thought and a text")
        if read_turn(content).thought is not None:
            return f"{content}\n{write_turn(None, calls, None)}"
        # Templates that know no thoughts have them as the text beside the call.
        return write_turn(content or thought, calls, None)
    if last and read_turn(content).answer is None:
        return write_turn(thought, (), content)
    if thought is None:
        return content
    said = write_turn(thought, (), None)
    return f"{said}\n{content}" if content else said


def _call(value: Any) -> Call:
    outer = typed(value, "tool_calls", dict)
    function = outer.get("function", outer)
    name = function.get("name") if isinstance(function, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise RowError(RowProblem.BAD_CALL, "a tool call without a name and an object of arguments")
    return Call(name, arguments)
