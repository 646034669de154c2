"""From policy to policy: where a run stands, and what the gate's decision does to it.

The gate decides by itself; `--force-promote` overrules it for iterations of a run, and what was
forced once stays so when the run is started again. A forced policy is the one to go on from, but
not the one to beat: the candidate after it is still compared with the best that the gate let
through, to which a failure leads back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from agents.configuration import Config
from agents.errors import UsageError
from evaluation.gate import GateDecision

Force = Sequence[int] | Literal["all"]
"""Iterations whose candidate is promoted whatever the gate says."""


class Standing(Config):
    """Where a run stands between two iterations; references to artifacts."""

    questions: str
    """All questions."""
    base: str
    """The base policy."""
    current: str
    """The policy to go on from: the last one promoted."""
    best: str
    """The policy that candidates are compared with: the last one that the gate let through."""
    cold_start: str | None = None
    """The cold start's trajectories."""
    rl_trajectories: str | None = None
    """Rollouts that the iteration before recorded inside RL."""
    failures: int = Field(default=0, ge=0)
    """Iterations in a row that were not promoted."""


class IterationResult(Config):
    """What an iteration came to; references to artifacts."""

    candidate: str
    """The policy it produced, promoted or not."""
    decision: GateDecision
    """What the gate says of it."""
    compared_with: str
    """The policy that the gate compared it with; empty: with none."""
    benchmarks: str
    """The candidate's scores."""
    rl_trajectories: str | None
    """Rollouts recorded inside RL."""


def advance(standing: Standing, result: IterationResult, *, forced: bool) -> Standing:
    """Where a run stands after an iteration.

    Args:
        standing: Where it stood before.
        result: What the iteration came to.
        forced: Whether the candidate is promoted against the gate.
    """
    passed = result.decision.promoted
    best = result.candidate if passed else standing.best
    # An iteration that changed nothing is no reason to leave a policy that was forced.
    stays = forced or result.candidate == standing.current
    return standing.model_copy(
        update={
            "current": result.candidate if stays else best,
            "best": best,
            "rl_trajectories": result.rl_trajectories,
            "failures": 0 if passed or forced else standing.failures + 1,
        }
    )


def forced_iterations(force: Force, last: int, first: int = 1) -> tuple[int, ...]:
    """The iterations that are to be promoted in any case.

    Args:
        force: What was asked for.
        last: The last iteration that the call makes; 0: it makes none.
        first: The first; those before it are finished.

    Raises:
        UsageError: The call makes no such iteration.
    """
    if force == "all":
        return tuple(range(first, last + 1))
    for number in force:
        if not first <= number <= last:
            raise UsageError(
                f"--force-promote {number}: expected an iteration of this run, {first} to {last}"
                if first <= last
                else f"--force-promote {number}: this run has no iterations"
            )
    return tuple(sorted(set(force)))
