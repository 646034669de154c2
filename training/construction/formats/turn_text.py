"""A turn's text and its parts: thought, calls, answer; and the response that came back.

Reading is lenient and never fails: whether a turn follows the protocol is `agents.protocol`'s to
say. Writing is WebDancer's layout, each tag on a line of its own; what was read from that layout
is written back letter by letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.protocol import RESPONSE_CLOSE, RESPONSE_OPEN

_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call.

    Attributes:
        tool: Name of the tool.
        arguments: Its arguments.
    """

    tool: str
    arguments: Mapping[str, Any]

    @property
    def json(self) -> str:
        """The call as it stands between its tags."""
        return json.dumps({"name": self.tool, "arguments": self.arguments}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class TurnParts:
    """What a turn consists of.

    Attributes:
        thought: Content of `<think>`; None where there is none.
        calls: The calls that are JSON objects of a name and arguments.
        num_broken_calls: Calls that are none.
        answer: Content of the last `<answer>`; None where there is none.
    """

    thought: str | None = None
    calls: tuple[Call, ...] = ()
    num_broken_calls: int = 0
    answer: str | None = None


def read_turn(text: str) -> TurnParts:
    """Tells a turn's parts apart; the first thought and the last answer count."""
    thought = _THOUGHT.search(text)
    rest = text[thought.end() :] if thought else text
    calls = [call_of(body) for body in _CALL.findall(rest)]
    answers = _ANSWER.findall(rest)
    return TurnParts(
        thought=_within(thought[1]) if thought else None,
        calls=tuple(call for call in calls if call is not None),
        num_broken_calls=calls.count(None),
        answer=_within(answers[-1]) if answers else None,
    )


def write_turn(thought: str | None, calls: Sequence[Call], answer: str | None) -> str:
    """A turn of these parts in WebDancer's layout."""
    blocks = [] if thought is None else [f"<think>\n{thought}\n</think>"]
    blocks += [f"<tool_call>\n{call.json}\n</tool_call>" for call in calls]
    blocks += [] if answer is None else [f"<answer>\n{answer}\n</answer>"]
    return "\n".join(blocks)


def call_of(body: str) -> Call | None:
    """Reads a call's JSON; None where it is no object of just a name and arguments."""
    try:
        call = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(call, dict) or set(call) != {"name", "arguments"}:
        return None
    name, arguments = call["name"], call["arguments"]
    return Call(name, arguments) if isinstance(name, str) and isinstance(arguments, dict) else None


def split_response(response: str) -> tuple[str, str] | None:
    """The observation in a response, and what stands behind its tags (a call for the answer).

    Returns:
        None where the response does not begin with an observation in its tags.
    """
    if not response.startswith(RESPONSE_OPEN):
        return None
    # Not before the opening tag's own end: an empty observation shares no line end with it.
    observation, closed, note = response[len(RESPONSE_OPEN) :].rpartition(RESPONSE_CLOSE)
    return (observation, note) if closed else None


def read_response(response: str) -> str:
    """The observation in a response; a response without its tags is all observation."""
    parts = split_response(response)
    return response if parts is None else parts[0]


def is_wrapped(response: str) -> bool:
    """Whether a response is an observation in its tags, and nothing else."""
    parts = split_response(response)
    return parts is not None and not parts[1]


def write_response(observation: str) -> str:
    """An observation in its tags."""
    return f"{RESPONSE_OPEN}{observation}{RESPONSE_CLOSE}"


def _within(content: str) -> str:
    """Content of a tag without the line ends that set it apart."""
    return content.removeprefix("\n").removesuffix("\n")
