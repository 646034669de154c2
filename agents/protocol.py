"""The ReAct protocol: tags, strict parsing of one turn, and harmless observations.

A turn is one thought followed by one tool call or by the answer (WebDancer, section 3):

    <think>…</think> <tool_call>{"name": "search", "arguments": {…}}</tool_call>
    <think>…</think> <answer>…</answer>

Tool responses come back as a user turn within `<tool_response>`. Anything else is malformed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.trajectory import StopReason, Turn

TAGS = ("think", "tool_call", "tool_response", "answer")
ANSWER_PREFIX = "<answer>"
"""What is put in front of a forced answer, so that only the answer is left to sample."""
RESPONSE_OPEN = "<tool_response>\n"
RESPONSE_CLOSE = "\n</tool_response>"
EMPTY_OBSERVATION = "(nothing came back)"

_TAG = re.compile(rf"</?(?:{'|'.join(TAGS)})>")
_LOOSE_TAG = re.compile(rf"<\s*(/?)\s*({'|'.join(TAGS)})\b[^<>]{{0,64}}>", re.IGNORECASE)
_CALL_TAGS = ["<think>", "</think>", "<tool_call>", "</tool_call>"]
_ANSWER_TAGS = ["<think>", "</think>", "<answer>", "</answer>"]
_HARMLESS = str.maketrans("<>", "‹›")


@dataclass(frozen=True, slots=True)
class ParsedTurn:
    """What a turn says.

    Attributes:
        kind: `call`, `answer` or `malformed`.
        thought: Content of `<think>`, stripped.
        tool: Name of the called tool, empty for others.
        arguments: Arguments of the call.
        answer: The answer, stripped; None for others.
        error: Why the turn is malformed, empty where it is not.
    """

    kind: Literal["call", "answer", "malformed"]
    thought: str = ""
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    answer: str | None = None
    error: str = ""


def _malformed(error: str, thought: str = "") -> ParsedTurn:
    return ParsedTurn("malformed", thought=thought, error=error)


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _parse_call(thought: str, body: str, tools: Collection[str]) -> ParsedTurn:
    try:
        call = json.loads(body, parse_constant=_reject_constant)
        # Escapes such as \ud800 make strings that no file and no index can hold.
        json.dumps(call, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        return _malformed(f"the tool call is not JSON: {error}", thought)
    if not isinstance(call, dict) or set(call) != {"name", "arguments"}:
        return _malformed('expected {"name": …, "arguments": {…}} in the tool call', thought)
    name, arguments = call["name"], call["arguments"]
    if not isinstance(name, str) or name not in tools:
        return _malformed(f"unknown tool {name!r}; expected {', '.join(sorted(tools))}", thought)
    if not isinstance(arguments, dict):
        return _malformed("the tool call's arguments are not an object", thought)
    return ParsedTurn("call", thought=thought, tool=name, arguments=arguments)


def parse_turn(text: str, tools: Collection[str]) -> ParsedTurn:
    """Parses a turn strictly.

    Args:
        text: The sampled text without its end-of-turn token.
        tools: Names of the tools that may be called.
    """
    matches = list(_TAG.finditer(text))
    found = [match.group() for match in matches]
    if found not in (_CALL_TAGS, _ANSWER_TAGS):
        shown = " ".join(found[:6]) or "no tags"
        return _malformed(f"expected a thought and one call or answer, got {shown}")
    opened, closed, started, ended = matches
    outside = text[: opened.start()], text[closed.end() : started.start()], text[ended.end() :]
    thought = text[opened.end() : closed.start()].strip()
    body = text[started.end() : ended.start()].strip()
    if any(part.strip() for part in outside):
        return _malformed("there is text outside the tags", thought)
    if not thought:
        return _malformed("the thought is empty")
    if found == _CALL_TAGS:
        return _parse_call(thought, body, tools)
    if not body:
        return _malformed("the answer is empty", thought)
    return ParsedTurn("answer", thought=thought, answer=body)


def parse_forced_answer(text: str) -> ParsedTurn:
    """Parses what was sampled after `ANSWER_PREFIX`: an answer and its closing tag."""
    body, closing, rest = text.partition("</answer>")
    if not closing or rest.strip() or _TAG.search(body) or not body.strip():
        return _malformed("expected an answer and </answer>")
    return ParsedTurn("answer", answer=body.strip())


def is_well_formed(turns: tuple[Turn, ...], stop_reason: StopReason) -> bool:
    """Whether a whole trajectory strictly matched the protocol: it answered, every turn parsed."""
    answered = stop_reason in (StopReason.ANSWER, StopReason.FORCED_ANSWER)
    return answered and all(turn.action != "malformed" for turn in turns)


def canonical_arguments(arguments: Mapping[str, Any]) -> str:
    """Arguments as JSON text that is equal for equal arguments."""
    return json.dumps(arguments, ensure_ascii=False, sort_keys=True)


def neutralise(text: str) -> str:
    """Takes the force out of protocol tags in untrusted text: `<answer>` becomes `[answer]`.

    A page can then neither end its tool response nor show an answer in the policy's own form.
    Control characters that no page needs are dropped.
    """
    text = "".join(c if c == "\n" or c.isprintable() else " " if c.isspace() else "" for c in text)
    return _LOOSE_TAG.sub(lambda match: f"[{match.group(1)}{match.group(2).lower()}]", text)


def without_brackets(text: str) -> str:
    """Neutralises untrusted text for a model whose tokenizer is unknown.

    It loses all angle brackets, what control tokens are spelled with.
    """
    return neutralise(text).translate(_HARMLESS)
