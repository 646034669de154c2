"""Differences between policies that were trained several times, with other seeds each time.

Questions and seeds both vary, and each seed answers all questions: they are crossed. Pooling the
answers, or averaging seeds and resampling questions alone, would say how sure a difference is
between these very policies, not between the ways they were trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evaluation.statistics import PairedDifference


def crossed_bootstrap(
    first: Sequence[Sequence[float]],
    second: Sequence[Sequence[float]],
    *,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Bootstrap of a mean difference over questions and over each side's seeds at once.

    Questions are drawn once for both sides, seeds by themselves on each side (the pigeonhole
    bootstrap; Owen, 2007). Of S seeds, S - 1 are drawn, which makes the variance of so few right
    (Rao and Wu, 1988). One seed alone cannot vary: the interval is then for that very policy.

    Args:
        first: (S1, N) scores of the first side's policies, each on the same N questions.
        second: (S2, N) scores of the second side's.
        num_resamples: Number of resamples.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling.

    Raises:
        ValueError: A side has no policy, or they have not all the same number of questions.
    """
    lengths = {len(scores) for scores in (*first, *second)}
    if not len(first) or not len(second) or len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"expected two sides of equal rows of scores, got lengths {lengths}")
    import numpy as np

    rng = np.random.default_rng(seed)
    sides = [np.asarray(side, dtype=np.float64) for side in (first, second)]
    num_questions = sides[0].shape[1]
    means = np.empty(num_resamples)
    # In blocks: all resamples of thousands of questions at once would take gigabytes.
    block = max(1, 4_000_000 // num_questions)
    for start in range(0, num_resamples, block):
        size = min(block, num_resamples - start)
        drawn = rng.multinomial(num_questions, np.full(num_questions, 1 / num_questions), size)
        before, after = (_seed_weights(rng, side.shape[0], size) @ side for side in sides)
        means[start : start + size] = ((after - before) * drawn).sum(axis=1) / num_questions
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return PairedDifference(
        difference=float(sides[1].mean() - sides[0].mean()),
        ci_low=float(low),
        ci_high=float(high),
        p_not_better=float(np.mean(means <= 0)),
    )


def _seed_weights(rng: Any, num_seeds: int, num_resamples: int) -> Any:
    """(num_resamples, num_seeds) weights of the drawn seeds; each row sums to 1."""
    import numpy as np

    num_drawn = max(1, num_seeds - 1)
    return rng.multinomial(num_drawn, np.full(num_seeds, 1 / num_seeds), num_resamples) / num_drawn
