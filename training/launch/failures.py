"""What went wrong in a group of ranks: one cause has many signs, of which one is told.

When a rank dies, its peers find their connections closed; when one raises, the launcher ends the
others. The sign that explains the rest comes first, with these exceptions.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.errors import EvolveSearchError, RankDiedError, RankMemoryError, StageError
from agents.lifeline import our_error
from training.memory_limits import num_oom_kills

_PEER_LOST = ("connection closed", "connection reset", "connection refused", "broken pipe", "nccl")


@dataclass(frozen=True, slots=True)
class Failure:
    """One sign of trouble.

    Attributes:
        error: What to raise for it.
        at: When it was seen, by the monotonic clock.
        rank: The rank that it is of, None for all.
        is_echo: Whether it says only that another rank is gone.
    """

    error: EvolveSearchError
    at: float
    rank: int | None
    is_echo: bool = False

    @classmethod
    def of_message(cls, message: Mapping[str, Any], at: float, rank: int) -> Failure:
        """The failure that a rank described."""
        text = str(message["message"])
        if message["memory"]:
            return cls(RankMemoryError(f"rank {rank} ran out of memory ({text})"), at, rank)
        ours = our_error(message)
        if ours is not None:
            return cls(ours, at, rank)
        echo = any(words in text.lower() for words in _PEER_LOST)
        return cls(StageError(f"rank {rank}: {message['type']}: {text}"), at, rank, echo)


def worst_of(
    failures: Sequence[Failure], launcher: int | None, oom_kills: int
) -> EvolveSearchError:
    """The error that explains the failures.

    Args:
        failures: In the order in which they were seen, one at least.
        launcher: Exit code of the launcher, None while it runs.
        oom_kills: Processes killed for lack of memory before the ranks started.
    """
    if launcher is not None and launcher < 0:
        name = signal.Signals(-launcher).name
        return RankDiedError(f"the launcher of the ranks was killed by {name}")
    causes = [failure for failure in failures if not failure.is_echo] or list(failures)
    error = causes[0].error
    if isinstance(error, RankDiedError) and num_oom_kills() > oom_kills:
        return RankMemoryError(f"{error}: the system killed it for lack of memory")
    return error
