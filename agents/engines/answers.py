"""What servers answer: a vLLM server's generations and gauges, and anyone's refusals."""

from __future__ import annotations

import re
from typing import Any

import httpx

from agents.engines.base import EngineLoad, Generation
from agents.errors import EngineError

_GAUGE = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc)(?:\{[^}]*\})? (\S+)$",
    re.MULTILINE,
)


def read_generation(answer: dict[str, Any]) -> Generation:
    """Reads the one choice of a vLLM server's completion.

    Raises:
        EngineError: It lacks token ids or logprobs, or ended for a reason of the server's own.
    """
    try:
        choice = answer["choices"][0]
        token_ids = tuple(choice["token_ids"])
        logprobs = tuple(float(value) for value in choice["logprobs"]["token_logprobs"])
        reason = choice["finish_reason"]
    except (LookupError, TypeError, ValueError) as error:
        raise EngineError(
            "the server's answer has no token ids or logprobs; it must be vLLM 0.22 or newer"
        ) from error
    if reason not in ("stop", "length"):
        raise EngineError(f"the vLLM server ended a generation with {reason!r}")
    return Generation(token_ids, logprobs, reason)


def read_load(metrics: str) -> EngineLoad:
    """Sums up the gauges of all engines of a vLLM server."""
    sums = {"num_requests_running": 0.0, "num_requests_waiting": 0.0}
    shares = []
    for name, value in _GAUGE.findall(metrics):
        if name in sums:
            sums[name] += float(value)
        else:
            shares.append(float(value))
    running, waiting = sums.values()
    return EngineLoad(int(running), int(waiting), max(shares) if shares else None)


def reason_of(response: httpx.Response) -> str:
    """A refusal in one line: its status, and the message where there is one."""
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, LookupError, TypeError):
        message = response.text
    return f"status {response.status_code}, {' '.join(message.split())[:300] or 'no reason given'}"
