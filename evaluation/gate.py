"""The promotion gate: whether a candidate policy takes the place of the best one so far.

It compares both on a split of its own, question by question. No benchmark question is ever among
them, so that choosing policies by the gate leaves the benchmarks untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from agents.configuration import Config
from evaluation.statistics import PairedDifference, paired_bootstrap

_RENAMED = {"always": "off", "not_worse": "no_regression", "significant": "significant_gain"}
"""Rules by the names that earlier versions gave them."""


class GateConfig(Config):
    """When a candidate policy is promoted."""

    rule: Literal["no_regression", "significant_gain", "off"] = "no_regression"
    """`no_regression` asks that the candidate's gain over the best policy so far, question by
    question, is not negative and not significantly so; `significant_gain` that the gain's interval
    lies above `threshold`; `off` promotes every candidate unseen, for experiments."""
    threshold: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Gain in accuracy, as a fraction, that `significant_gain` wants to be sure of; 0: any gain."""
    num_questions: Annotated[int, Field(ge=1)] = 100
    """Questions of the gate's split that both policies answer."""
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    """Confidence level of the gain's interval."""
    num_resamples: Annotated[int, Field(ge=100)] = 10_000
    """Resamples of the paired bootstrap."""

    @field_validator("rule", mode="before")
    @classmethod
    def _is_a_rule_of_today(cls, value: Any) -> Any:
        if isinstance(value, str) and value in _RENAMED:
            raise ValueError(
                f"this rule is now called {_RENAMED[value]!r}; expected 'no_regression', "
                "'significant_gain' or 'off'"
            )
        return value


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What the gate decided, and on what grounds.

    Attributes:
        promoted: Whether the candidate is good enough to take the best policy's place.
        reason: Why, in one line.
        rule: The rule that was applied; empty where there was nothing to decide.
        num_questions: Questions that both policies were scored on.
        best_accuracy: Mean accuracy of the best policy so far on them.
        candidate_accuracy: Mean accuracy of the candidate on them.
        gain: Candidate minus best.
        ci_low: Lower bound of the gain's interval.
        ci_high: Upper bound of the gain's interval.
    """

    promoted: bool
    reason: str
    rule: str = ""
    num_questions: int = 0
    best_accuracy: float = 0.0
    candidate_accuracy: float = 0.0
    gain: float = 0.0
    ci_low: float = 0.0
    ci_high: float = 0.0


def decide(
    best: Mapping[str, float],
    candidate: Mapping[str, float],
    config: GateConfig,
    seed: int = 0,
) -> GateDecision:
    """Decides on the candidate by the questions that both policies were scored on.

    Args:
        best: Accuracy of the best policy so far, by question id.
        candidate: Accuracy of the candidate by question id.
        config: The rule.
        seed: Seed of the bootstrap.
    """
    if config.rule == "off":
        return GateDecision(True, "the gate is off", config.rule)
    shared = sorted(best.keys() & candidate.keys())
    if not shared:
        return GateDecision(False, "no question of the gate was scored for both", config.rule)
    first = [best[question_id] for question_id in shared]
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
    interval = f"{config.confidence:.0%} interval {paired.ci_low:+.1%} to {paired.ci_high:+.1%}"
    return GateDecision(
        promoted=promoted,
        reason=f"{before:.1%} → {after:.1%} on {len(shared)} questions: {ground}, {interval}",
        rule=config.rule,
        num_questions=len(shared),
        best_accuracy=before,
        candidate_accuracy=after,
        gain=paired.difference,
        ci_low=paired.ci_low,
        ci_high=paired.ci_high,
    )


def _apply(config: GateConfig, paired: PairedDifference) -> tuple[bool, str]:
    """Applies the rule; returns whether to promote, and the ground in words."""
    if config.rule == "significant_gain":
        promoted = paired.ci_low > config.threshold
        above = f" by more than {config.threshold:.1%}" if config.threshold else ""
        return promoted, f"{'surely' if promoted else 'not surely'} better{above}"
    if paired.ci_high < 0:
        return False, "significantly worse"
    # A whole question's worth of floating-point error must not turn the decision.
    promoted = paired.difference >= -1e-9
    return promoted, "not worse" if promoted else "worse, though not significantly"
