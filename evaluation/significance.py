"""Whether two policies differ by more than chance: tests over paired questions, and many of them.

Which test: McNemar's where each question is right or wrong, with the mid-p value, because the exact
one rejects less often than its level says (Fagerland, Lydersen and Laake, 2013); the sign-flip
test where a question's score is a mean of attempts. Holm's correction where several benchmarks are
looked at together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test of two policies on the same questions (McNemar, 1947).

    Attributes:
        only_first: Questions that the first policy alone has right.
        only_second: Questions that the second policy alone has right.
        exact_p: Two-sided exact p-value: that of a fair coin for the questions that differ.
        mid_p: The same with only half of the probability of what was seen.
    """

    only_first: int
    only_second: int
    exact_p: float
    mid_p: float


def mcnemar(only_first: int, only_second: int) -> McNemar:
    """Tests whether as many questions went from wrong to right as the other way.

    Args:
        only_first: Questions that the first policy alone has right.
        only_second: Questions that the second policy alone has right.
    """
    num_discordant = only_first + only_second
    fewer = min(only_first, only_second)
    half = 2**num_discordant
    tail = sum(math.comb(num_discordant, number) for number in range(fewer + 1))
    exact_p = min(1.0, 2 * tail / half)
    if not num_discordant:
        mid_p = 1.0
    elif only_first == only_second:
        # Half of the middle of the distribution is on either side of it.
        mid_p = 1.0 - math.comb(num_discordant, fewer) / half / 2
    else:
        mid_p = exact_p - math.comb(num_discordant, fewer) / half
    return McNemar(only_first, only_second, exact_p, mid_p)


def sign_flip_test(
    strata: Sequence[Sequence[float]], *, num_resamples: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p-value of paired differences, by flipping signs at random (Fisher, 1935).

    If the policies were alike, each question's difference could as well have had the other sign.
    The p-value counts what was seen as one of the flips, so that it is never 0.

    Args:
        strata: Differences, second minus first, benchmark by benchmark; the unweighted mean of
            the benchmarks' means is tested.
        num_resamples: Number of random flips.
        seed: Seed of the flips.

    Raises:
        ValueError: There is no stratum, or one is empty.
    """
    if not strata or not all(len(stratum) for stratum in strata):
        raise ValueError("expected differences in every stratum, got none")
    # Imported here: configuration modules import this one, and must load at once.
    import numpy as np

    rng = np.random.default_rng(seed)
    seen, flipped = 0.0, np.zeros(num_resamples)
    for stratum in strata:
        seen += math.fsum(stratum) / len(stratum)
        # Of n equal differences it only matters how many keep their sign.
        sizes, counts = np.unique(np.abs(np.asarray(stratum)), return_counts=True)
        for size, count in zip(sizes, counts, strict=True):
            kept = rng.binomial(count, 0.5, size=num_resamples)
            flipped += (2 * kept - count) * size / len(stratum)
    # Equal sums must count as equal, whatever order floating point added them in.
    as_far = np.abs(flipped) >= abs(seen) - 1e-12
    return float((1 + np.count_nonzero(as_far)) / (1 + num_resamples))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted for being several, in the given order (Holm, 1979).

    Calling significant what is then below a level errs with any of them at most as often as the
    level says.
    """
    adjusted: dict[str, float] = {}
    greatest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        greatest = max(greatest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = greatest
    return {name: adjusted[name] for name in p_values}
