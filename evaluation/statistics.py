"""How sure a score is: intervals of a share, and of a difference between paired scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much better the second of two paired samples is.

    Attributes:
        difference: Mean of second minus first.
        ci_low: Lower bound of its interval.
        ci_high: Upper bound of its interval.
        p_not_better: Share of resamples in which the second is not better than the first.
    """

    difference: float
    ci_low: float
    ci_high: float
    p_not_better: float


def wilson_interval(
    num_right: float, num_questions: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, 1927).

    Chosen over the bootstrap because it needs no random numbers and stays honest where all or
    none are right: a bootstrap of 0 of 64 gives an interval of width 0.

    Args:
        num_right: Number of right answers, from 0 to `num_questions`.
        num_questions: Number of questions; 0 gives the whole range.
        confidence: Confidence level, between 0 and 1.

    Returns:
        Lower and upper bound, fractions from 0 to 1.
    """
    if num_questions == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = num_right / num_questions
    scale = 1 + z * z / num_questions
    centre = (share + z * z / (2 * num_questions)) / scale
    spread = share * (1 - share) / num_questions + z * z / (4 * num_questions**2)
    half = z * math.sqrt(spread) / scale
    # Rounding may push the bounds a hair past the share where all or none are right.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    *,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Percentile bootstrap of the mean difference of paired scores (Efron, 1979).

    Args:
        first: (N,) scores of the one policy.
        second: (N,) scores of the other on the same questions, in the same order.
        num_resamples: Number of resamples of the N pairs.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling.

    Raises:
        ValueError: The lengths differ, or there is no pair.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"expected pairs of scores, got {len(first)} and {len(second)}")
    differences = [after - before for before, after in zip(first, second, strict=True)]
    return stratified_bootstrap(
        [differences], num_resamples=num_resamples, confidence=confidence, seed=seed
    )


def stratified_bootstrap(
    strata: Sequence[Sequence[float]],
    *,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Percentile bootstrap of the unweighted mean of several strata's mean differences.

    Each stratum (a benchmark) is resampled by itself, so that a large one weighs no more than a
    small one, as in the average over benchmarks.

    Args:
        strata: Differences of paired scores, second minus first, stratum by stratum.
        num_resamples: Number of resamples.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling.

    Raises:
        ValueError: There is no stratum, or one is empty.
    """
    if not strata or not all(len(stratum) for stratum in strata):
        raise ValueError("expected differences in every stratum, got none")
    # Imported here: configuration modules import this one, and must load at once.
    import numpy as np

    rng = np.random.default_rng(seed)
    means, total = np.zeros(num_resamples), 0.0
    for stratum in strata:
        # Resampling N pairs only needs how often each distinct difference is drawn.
        values, counts = np.unique(np.asarray(stratum, dtype=np.float64), return_counts=True)
        size = len(stratum)
        means += rng.multinomial(size, counts / size, size=num_resamples) @ values / size
        total += math.fsum(stratum) / size
    means /= len(strata)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return PairedDifference(
        difference=total / len(strata),
        ci_low=float(low),
        ci_high=float(high),
        p_not_better=float(np.mean(means <= 0)),
    )


def mean_interval(
    scores: Sequence[float],
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of the mean of questions' scores, each from 0 to 1.

    Where every score is 0 or 1 it is Wilson's. Where a question's score is the mean of several
    attempts it is the percentile bootstrap over questions: a question is drawn with all its
    attempts, so that both the choice of questions and chance in the attempts count (the cluster
    bootstrap; Miller, arXiv 2411.00640, asks for the same unit). Attempts counted as if they were
    questions of their own would give too narrow an interval.

    Args:
        scores: (N,) a score a question.
        confidence: Confidence level, between 0 and 1.
        num_resamples: Number of resamples.
        seed: Seed of the resampling.
    """
    if len(set(scores)) <= 1 or all(score in (0.0, 1.0) for score in scores):
        # Equal scores leave a bootstrap nothing to vary: its interval would have no width.
        return wilson_interval(math.fsum(scores), len(scores), confidence)
    paired = stratified_bootstrap(
        [scores], num_resamples=num_resamples, confidence=confidence, seed=seed
    )
    return paired.ci_low, paired.ci_high


def average_interval(parts: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Interval of the unweighted mean of independent scores that have intervals of their own.

    Each side's distances are squared and added (MOVER; Zou and Donner, 2008), so that Wilson's
    intervals of benchmarks stay honest in their average, also where all or none are right.

    Args:
        parts: Score, lower and upper bound of each, all of one confidence level.

    Raises:
        ValueError: There is none.
    """
    if not parts:
        raise ValueError("expected scores with intervals, got none")
    mean = math.fsum(score for score, _, _ in parts) / len(parts)
    below = math.hypot(*(score - low for score, low, _ in parts)) / len(parts)
    above = math.hypot(*(high - score for score, _, high in parts)) / len(parts)
    return mean - below, mean + above


@dataclass(frozen=True, slots=True)
class Slope:
    """A line fitted through points.

    Attributes:
        slope: Change of y for one of x.
        ci_low: Lower bound of its interval.
        ci_high: Upper bound of its interval.
    """

    slope: float
    ci_low: float
    ci_high: float


def fit_slope(
    x: Sequence[float],
    y: Sequence[float],
    *,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Slope:
    """Least-squares slope with the percentile interval of a moving-block bootstrap of residuals.

    Neighbouring steps of a training are alike, which intervals for independent points overlook:
    blocks of about the cube root of N neighbouring residuals are resampled together (Künsch, 1989).

    Args:
        x: (N,) places, not all equal.
        y: (N,) values there.
        num_resamples: Number of resamples.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling.

    Raises:
        ValueError: There are fewer than 3 points, lengths differ, or all places are equal.
    """
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"expected at least 3 points, got {len(x)} places and {len(y)} values")
    # Imported here: configuration modules import this one, and must load at once.
    import numpy as np

    places, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centred = places - places.mean()
    spread = float(centred @ centred)
    if spread == 0.0:
        raise ValueError(f"all {len(x)} points lie at {x[0]}: no slope")
    slope = float(centred @ values / spread)
    residuals = values - values.mean() - slope * centred
    size = max(1, round(len(places) ** (1 / 3)))
    blocks = -(-len(places) // size)
    starts = np.random.default_rng(seed).integers(
        0, len(places) - size + 1, size=(num_resamples, blocks)
    )
    drawn = residuals[(starts[:, :, None] + np.arange(size)).reshape(num_resamples, -1)]
    slopes = slope + drawn[:, : len(places)] @ centred / spread
    # A fit takes up two degrees of freedom, by which its residuals are too small.
    slopes = slope + (slopes - slopes.mean()) * math.sqrt(len(places) / (len(places) - 2))
    tail = (1 - confidence) / 2
    low, high = np.quantile(slopes, [tail, 1 - tail])
    return Slope(slope, float(low), float(high))
