"""Differences between policies that were trained several times, with other seeds each time.

Questions and seeds both vary, and each seed answers all questions: they are crossed. Pooling the
answers, or averaging seeds and resampling questions alone, would say how sure a difference is
between these very policies, not between the ways they were trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.statistics import PairedDifference


@dataclass(frozen=True, slots=True)
class Stratum:
    """One benchmark, answered by the policies of two sides.

    Attributes:
        first: (S1, N) scores of the first side's policies, each on the same N questions.
        second: (S2, N) scores of the second side's.
    """

    first: Sequence[Sequence[float]]
    second: Sequence[Sequence[float]]


def crossed_bootstrap(
    strata: Sequence[Stratum],
    *,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Bootstrap of a mean difference over questions and over each side's seeds at once.

    Questions are drawn once for both sides, seeds by themselves on each side and for all strata
    alike (the pigeonhole bootstrap; Owen, 2007). Of S seeds, S - 1 are drawn, which makes the
    variance of so few right (Rao and Wu, 1988). One seed alone cannot vary: the interval is then
    for that very policy.

    Args:
        strata: Benchmarks, all answered by the same policies; their unweighted mean is taken.
        num_resamples: Number of resamples.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling.

    Raises:
        ValueError: There is no score, or the policies have not answered the same questions.
    """
    import numpy as np

    sides = [
        [np.asarray(rows, dtype=np.float64) for rows in (stratum.first, stratum.second)]
        for stratum in strata
    ]
    if not sides or any(side.ndim != 2 or not side.size for pair in sides for side in pair):
        raise ValueError("expected two sides of equal rows of scores, got an empty or ragged one")
    rng = np.random.default_rng(seed)
    num_seeds = [side.shape[0] for side in sides[0]]
    weights = [_seed_weights(rng, number, num_resamples) for number in num_seeds]
    means, total = np.zeros(num_resamples), 0.0
    for pair in sides:
        if pair[0].shape[1] != pair[1].shape[1] or [side.shape[0] for side in pair] != num_seeds:
            raise ValueError(
                f"expected equal rows of scores, got {pair[0].shape} and {pair[1].shape}"
            )
        means += _resampled(rng, weights, pair) / len(sides)
        total += float(pair[1].mean() - pair[0].mean()) / len(sides)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return PairedDifference(
        difference=total,
        ci_low=float(low),
        ci_high=float(high),
        p_not_better=float(np.mean(means <= 0)),
    )


def _resampled(rng: Any, weights: Sequence[Any], pair: Sequence[Any]) -> Any:
    """(num_resamples,) mean differences of one stratum."""
    import numpy as np

    num_questions, num_resamples = pair[0].shape[1], len(weights[0])
    shares = np.full(num_questions, 1 / num_questions)
    means = np.empty(num_resamples)
    # In blocks: all resamples of thousands of questions at once would take gigabytes.
    block = max(1, 4_000_000 // num_questions)
    for start in range(0, num_resamples, block):
        part = slice(start, min(start + block, num_resamples))
        drawn = rng.multinomial(num_questions, shares, part.stop - start)
        before, after = (
            side_weights[part] @ side for side_weights, side in zip(weights, pair, strict=True)
        )
        means[part] = ((after - before) * drawn).sum(axis=1) / num_questions
    return means


def _seed_weights(rng: Any, num_seeds: int, num_resamples: int) -> Any:
    """(num_resamples, num_seeds) weights of the drawn seeds; each row sums to 1."""
    import numpy as np

    num_drawn = max(1, num_seeds - 1)
    return rng.multinomial(num_drawn, np.full(num_seeds, 1 / num_seeds), num_resamples) / num_drawn
