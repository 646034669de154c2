"""Validity: whether a conversation follows the ReAct form from its first turn to its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agents.protocol import TAGS, parse_forced_answer, parse_turn
from training.construction.formats.conversation import ChatTurn, Conversation
from training.construction.funnel.config import FunnelConfig
from training.construction.funnel.verdicts import Check, Finding, Reason, failed, passed
from training.construction.funnel.wording import shortened

_TAG = re.compile(rf"<(/?)({'|'.join(TAGS)})>")
_CONTROL = re.compile(r"<\|[A-Za-z_]{1,40}\|>")
_FOREIGN = re.compile(r"\W*(?:action|thought|observation|final answer)\s*:", re.IGNORECASE)


def check_form(conversation: Conversation, config: FunnelConfig) -> Finding:
    """Checks every turn, and that the last one answers; the first fault is the reason."""
    last = len(conversation.turns) - 1
    num_calls = 0
    for place, turn in enumerate(conversation.turns):
        if _CONTROL.search(turn.text):
            return failed(Check.FORM, Reason.CONTROL_TOKEN, "", place)
        parsed = (
            parse_forced_answer(turn.text) if turn.given else parse_turn(turn.text, config.tools)
        )
        if parsed.kind == "malformed":
            reason = _why(turn, config)
            return failed(Check.FORM, reason, shortened(parsed.error), place)
        if parsed.kind == "answer" and (place < last or turn.response is not None):
            return failed(Check.FORM, Reason.EARLY_ANSWER, "the conversation goes on", place)
        if parsed.kind == "answer" and _FOREIGN.match(parsed.answer or ""):
            shown = shortened(parsed.answer or "", 40)
            return failed(Check.FORM, Reason.FOREIGN_MARK, shown, place)
        if parsed.kind == "call":
            if place == last:
                return failed(Check.FORM, Reason.NO_ANSWER, "the last turn is a call", place)
            if problem := _bad_arguments(parsed.tool, parsed.arguments):
                return failed(Check.FORM, Reason.BAD_ARGUMENTS, problem, place)
            num_calls += 1
    if num_calls < config.min_tool_calls:
        return failed(Check.FORM, Reason.NO_CALL, f"{num_calls} calls")
    return passed(Check.FORM)


def _why(turn: ChatTurn, config: FunnelConfig) -> Reason:
    """Names the fault of a turn that `parse_turn` refused."""
    tags = [f"{slash}{name}" for slash, name in _TAG.findall(turn.given + turn.text)]
    if any(tags.count(name) > tags.count(f"/{name}") for name in TAGS):
        return Reason.CUT_OFF
    if "think" not in tags and not turn.given:
        return Reason.NO_THOUGHT
    actions = tags.count("tool_call") + tags.count("answer")
    if actions != 1:
        return Reason.SEVERAL_ACTIONS if actions else Reason.NO_ACTION
    parts = turn.parts
    if parts.thought is not None and not parts.thought.strip():
        return Reason.NO_THOUGHT
    if parts.num_broken_calls:
        return Reason.BROKEN_CALL
    if any(call.tool not in config.tools for call in parts.calls):
        return Reason.UNKNOWN_TOOL
    if parts.answer is not None and not parts.answer.strip():
        return Reason.EMPTY_ANSWER
    return Reason.TEXT_OUTSIDE


def _bad_arguments(tool: str, arguments: Mapping[str, Any]) -> str:
    """What is wrong with a call of the tools whose schema is known; empty for nothing."""
    if tool == "search" and not _texts(arguments.get("query")):
        return "a search without queries"
    if tool == "visit" and not _texts(arguments.get("url")):
        return "a visit without address"
    if tool == "visit" and not _texts(arguments.get("goal")):
        return "a visit without goal"
    return ""


def _texts(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(isinstance(each, str) and each.strip() for each in values)
