"""How far two judges agree, a person being one of them: share, Cohen's kappa, confusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from evaluation.statistics import wilson_interval

Verdict = bool | None
"""Right or wrong; None: the judge said neither."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often two judges said what.

    Attributes:
        both_right: Answers that both call right.
        only_first: Answers that the first alone calls right.
        only_second: Answers that the second alone calls right.
        both_wrong: Answers that both call wrong.
    """

    both_right: int
    only_first: int
    only_second: int
    both_wrong: int

    @property
    def total(self) -> int:
        """Answers that both judged."""
        return self.both_right + self.only_first + self.only_second + self.both_wrong


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far two judges agree on the answers that both judged.

    Attributes:
        confusion: How often they said what.
        num_unjudged: Answers that one of them, or both, left unjudged; in no other figure here.
        agreement: Share of equal verdicts; None where there is nothing to compare.
        ci_low: Lower bound of its Wilson interval.
        ci_high: Upper bound of its Wilson interval.
        kappa: Cohen's kappa, agreement beyond chance, 1 at most; None where both gave all answers
            the same verdict, so that there is none to be had beyond chance.
        kappa_low: Lower bound of its interval.
        kappa_high: Upper bound of its interval.
    """

    confusion: Confusion
    num_unjudged: int
    agreement: float | None
    ci_low: float
    ci_high: float
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None


def compare_verdicts(
    first: Sequence[Verdict], second: Sequence[Verdict], confidence: float = 0.95
) -> Comparison:
    """Compares two judges' verdicts on the same answers.

    Args:
        first: Verdicts of one, an answer each.
        second: Verdicts of the other on the same answers, in the same order.
        confidence: Confidence level of the intervals.
    """
    pairs = [
        (one, other)
        for one, other in zip(first, second, strict=True)
        if one is not None and other is not None
    ]
    confusion = Confusion(
        both_right=pairs.count((True, True)),
        only_first=pairs.count((True, False)),
        only_second=pairs.count((False, True)),
        both_wrong=pairs.count((False, False)),
    )
    num_equal = confusion.both_right + confusion.both_wrong
    low, high = wilson_interval(num_equal, len(pairs), confidence)
    kappa = cohens_kappa(confusion, confidence)
    return Comparison(
        confusion,
        len(first) - len(pairs),
        num_equal / len(pairs) if pairs else None,
        low,
        high,
        *(kappa or (None, None, None)),
    )


def cohens_kappa(
    confusion: Confusion, confidence: float = 0.95
) -> tuple[float, float, float] | None:
    """Cohen's kappa (Cohen, 1960) and its interval by Fleiss, Cohen and Everitt's error (1969).

    The error is for large samples; it is 0 where all verdicts agree, however few they are: there
    the interval of the agreement says more.

    Returns:
        Kappa, lower and upper bound, at most 1; None where chance alone would agree always.
    """
    n = confusion.total
    if not n:
        return None
    right, wrong = confusion.both_right / n, confusion.both_wrong / n
    only_first, only_second = confusion.only_first / n, confusion.only_second / n
    first, second = right + only_first, right + only_second
    by_chance = first * second + (1 - first) * (1 - second)
    if math.isclose(by_chance, 1.0):
        return None
    kappa = (right + wrong - by_chance) / (1 - by_chance)
    rest = 1 - kappa
    spread = (
        right * (1 - (first + second) * rest) ** 2
        + wrong * (1 - (2 - first - second) * rest) ** 2
        + rest**2
        * (only_first * (second + 1 - first) ** 2 + only_second * (1 - second + first) ** 2)
        - (kappa - by_chance * rest) ** 2
    )
    error = math.sqrt(max(0.0, spread) / n) / (1 - by_chance)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * error
    return kappa, max(-1.0, kappa - half), min(1.0, kappa + half)
