"""What the tests of this folder know of the one rehearsal that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flows.config import EvolutionConfig

SIZES = {"benchmark.num_questions": 1, "gate.num_questions": 4, "rl.num_steps": 3}
"""The smoke profile, with as few held-out questions as the seven benchmarks allow, and with an RL
step between two checkpoints."""


@dataclass(frozen=True)
class Rehearsal:
    """A finished run of the smoke profile."""

    config: EvolutionConfig
    name: str
    document: dict[str, Any]
