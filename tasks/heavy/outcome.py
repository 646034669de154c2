"""How a heavy child ended, as a result or as the one error that says why it has none."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.errors import EvolveSearchError, StageError
from agents.lifeline import our_error

LESS_MEMORY = "lower the batch size or the context length"
"""Advice where nobody knows better."""


class HeavyMemoryError(StageError):
    """A child ran out of memory, of the machine or of the accelerator."""


class HeavyKilledError(StageError):
    """A child was killed from outside, or crashed in native code."""


def error_of_event(
    event: Mapping[str, Any], description: str, log: Path, advice: str = LESS_MEMORY
) -> EvolveSearchError:
    """The error that a child described: its own type where it is one of ours.

    Args:
        event: What it said.
        description: What it did.
        log: Where its output lies.
        advice: What to change where it ran out of memory.
    """
    message = str(event["message"])
    if event["memory"]:
        return HeavyMemoryError(
            f"{description} ran out of memory ({message}); {advice}; log: {log}"
        )
    if event["ours"]:
        return our_error(event) or StageError(message)
    return StageError(f"{description} failed: {event['type']}: {message}; log: {log}")


def error_of_exit(
    code: int, oom_kills: int, description: str, log: Path, advice: str = LESS_MEMORY
) -> EvolveSearchError:
    """The error of a child that ended without a word.

    Args:
        code: Its exit code; negative: the signal that killed it.
        oom_kills: Kills for lack of memory while it ran.
        description: What it did.
        log: Where its output lies.
        advice: What to change where it ran out of memory.
    """
    if code == -signal.SIGKILL and oom_kills:
        return HeavyMemoryError(
            f"{description} was killed by the system for lack of memory; {advice}; log: {log}"
        )
    if code < 0:
        name = signal.Signals(-code).name
        return HeavyKilledError(f"{description} was killed by {name}; log: {log}")
    return StageError(f"{description} ended with exit code {code} and no result; log: {log}")
