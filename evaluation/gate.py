"""The promotion gate: whether a candidate policy takes the current one's place.

It compares both on a split of its own, question by question. No benchmark question is ever among
them, so that choosing policies by the gate leaves the benchmarks untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from agents.configuration import Config
from evaluation.statistics import PairedDifference, paired_bootstrap


class GateConfig(Config):
    """When a candidate policy is promoted."""

    enabled: bool = True
    """Whether candidates are compared at all; without, each is promoted unseen."""
    num_questions: Annotated[int, Field(ge=1)] = 100
    """Questions of the gate's split that both policies answer."""
    rule: Literal["always", "not_worse", "significant"] = "not_worse"
    """`always` promotes whatever the scores say; `not_worse` asks that accuracy falls by no more
    than `tolerance`; `significant` that the paired bootstrap's interval lies above 0."""
    tolerance: Annotated[float, Field(ge=0.0, le=1.0)] = 0.02
    """Drop in accuracy that `not_worse` forgives, as a fraction; 0 forgives none."""
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    """Confidence level of the interval of the difference."""
    num_resamples: Annotated[int, Field(ge=100)] = 10_000
    """Resamples of the paired bootstrap."""


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What the gate decided, and on what grounds.

    Attributes:
        promoted: Whether the candidate becomes the current policy.
        reason: Why, in one line.
        num_questions: Questions that both policies were scored on.
        current_accuracy: Mean accuracy of the current policy on them.
        candidate_accuracy: Mean accuracy of the candidate on them.
        difference: Candidate minus current.
        ci_low: Lower bound of the difference's interval.
        ci_high: Upper bound of the difference's interval.
    """

    promoted: bool
    reason: str
    num_questions: int = 0
    current_accuracy: float = 0.0
    candidate_accuracy: float = 0.0
    difference: float = 0.0
    ci_low: float = 0.0
    ci_high: float = 0.0


def decide(
    current: Mapping[str, float],
    candidate: Mapping[str, float],
    config: GateConfig,
    seed: int = 0,
) -> GateDecision:
    """Decides on the candidate by the questions that both policies were scored on.

    Args:
        current: Accuracy of the current policy by question id.
        candidate: Accuracy of the candidate by question id.
        config: The rule.
        seed: Seed of the bootstrap.
    """
    shared = sorted(current.keys() & candidate.keys())
    if not config.enabled:
        return GateDecision(True, "the gate is off")
    if not shared:
        promoted = config.rule == "always"
        return GateDecision(promoted, f"rule {config.rule}: no question was scored for both")
    first = [current[question_id] for question_id in shared]
    second = [candidate[question_id] for question_id in shared]
    paired = paired_bootstrap(
        first,
        second,
        num_resamples=config.num_resamples,
        confidence=config.confidence,
        seed=seed,
    )
    promoted, ground = _apply(config, paired)
    before, after = sum(first) / len(first), sum(second) / len(second)
    return GateDecision(
        promoted=promoted,
        reason=f"{before:.1%} → {after:.1%} on {len(shared)} questions: {ground}",
        num_questions=len(shared),
        current_accuracy=before,
        candidate_accuracy=after,
        difference=paired.difference,
        ci_low=paired.ci_low,
        ci_high=paired.ci_high,
    )


def _apply(config: GateConfig, paired: PairedDifference) -> tuple[bool, str]:
    """Applies the rule; returns whether to promote, and the ground in words."""
    interval = f"{config.confidence:.0%} interval {paired.ci_low:+.1%} to {paired.ci_high:+.1%}"
    if config.rule == "always":
        return True, "rule always"
    if config.rule == "significant":
        promoted = paired.ci_low > 0
        return promoted, f"{'surely' if promoted else 'not surely'} better, {interval}"
    # A whole question's worth of floating-point error must not turn the decision.
    promoted = paired.difference >= -config.tolerance - 1e-9
    verdict = "not worse" if promoted else "worse"
    return promoted, f"{verdict} within {config.tolerance:.1%}, {interval}"
