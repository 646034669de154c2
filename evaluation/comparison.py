"""Two policies, or two ways of training with several seeds each, on the same questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from evaluation.seeds import Stratum, crossed_bootstrap
from evaluation.significance import holm, mcnemar, sign_flip_test
from evaluation.statistics import PairedDifference, paired_bootstrap, stratified_bootstrap

AVERAGE = "average"
"""Name under which the unweighted mean of the benchmarks stands beside them."""

PolicyScores = Mapping[str, Mapping[str, float]]
"""One policy's score of each question, from 0 to 1, by benchmark and question id."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two sides differ on one benchmark; scores are fractions from 0 to 1.

    Attributes:
        num_questions: Questions that all policies of both sides were scored on.
        first: Mean score of the first side on them.
        second: Mean score of the second side on them.
        difference: Second minus first.
        ci_low: Lower bound of its interval, uncorrected.
        ci_high: Upper bound of its interval.
        test: `mcnemar` (mid-p) for right and wrong, `sign_flip` for means of attempts and for the
            average, `crossed_bootstrap` for several seeds.
        p_value: Two-sided p-value of that test.
        p_adjusted: The same after Holm's correction over the benchmarks; the average stands alone.
        significant: Whether `p_adjusted` is below 1 minus the confidence level.
        exact_p: McNemar's exact p-value, where there is one.
        only_first: Questions that the first side alone has right, where there are such.
        only_second: Questions that the second side alone has right.
    """

    num_questions: int
    first: float
    second: float
    difference: float
    ci_low: float
    ci_high: float
    test: Literal["mcnemar", "sign_flip", "crossed_bootstrap"]
    p_value: float
    p_adjusted: float
    significant: bool
    exact_p: float | None = None
    only_first: int | None = None
    only_second: int | None = None


def compare(
    first: Sequence[PolicyScores],
    second: Sequence[PolicyScores],
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Compares two sides benchmark by benchmark, and on the average of the benchmarks.

    Args:
        first: Scores of the first side: of one policy, or of one a seed.
        second: Scores of the second side.
        confidence: Confidence level of intervals, and of calling a difference significant.
        num_resamples: Resamples of bootstraps and of sign flips.
        seed: Seed of the resampling.

    Returns:
        A comparison a benchmark that all have answered questions of, in the first policy's order,
        and with more than one of them `AVERAGE` at the end.
    """
    policies = [*first, *second]
    strata: dict[str, Stratum] = {}
    for name in first[0]:
        answered = [set(scores.get(name, {})) for scores in policies]
        shared = sorted(set.intersection(*answered))
        if shared:
            strata[name] = Stratum(
                [[scores[name][question] for question in shared] for scores in first],
                [[scores[name][question] for question in shared] for scores in second],
            )
    found = {
        name: _compare([stratum], confidence, num_resamples, seed)
        for name, stratum in strata.items()
    }
    adjusted = holm({name: comparison.p_value for name, comparison in found.items()})
    found = {
        name: _judged(comparison, adjusted[name], confidence) for name, comparison in found.items()
    }
    if len(strata) > 1:
        average = _compare(list(strata.values()), confidence, num_resamples, seed)
        found[AVERAGE] = _judged(average, average.p_value, confidence)
    return found


def _compare(
    strata: Sequence[Stratum], confidence: float, num_resamples: int, seed: int
) -> Comparison:
    stratum = strata[0]
    if len(stratum.first) > 1 or len(stratum.second) > 1:
        paired = crossed_bootstrap(
            strata, num_resamples=num_resamples, confidence=confidence, seed=seed
        )
        better = 1 - paired.p_not_better
        p_value = max(2 * min(paired.p_not_better, better), 1 / (num_resamples + 1))
        return _comparison(strata, paired, "crossed_bootstrap", min(1.0, p_value))
    differences = [
        [after - before for before, after in zip(each.first[0], each.second[0], strict=True)]
        for each in strata
    ]
    if len(strata) > 1:
        paired = stratified_bootstrap(
            differences, num_resamples=num_resamples, confidence=confidence, seed=seed
        )
        p_value = sign_flip_test(differences, num_resamples=num_resamples, seed=seed)
        return _comparison(strata, paired, "sign_flip", p_value)
    before, after = stratum.first[0], stratum.second[0]
    paired = paired_bootstrap(
        before, after, num_resamples=num_resamples, confidence=confidence, seed=seed
    )
    if set(before) | set(after) <= {0.0, 1.0}:
        test = mcnemar(differences[0].count(-1.0), differences[0].count(1.0))
        return replace(
            _comparison(strata, paired, "mcnemar", test.mid_p),
            exact_p=test.exact_p,
            only_first=test.only_first,
            only_second=test.only_second,
        )
    p_value = sign_flip_test(differences, num_resamples=num_resamples, seed=seed)
    return _comparison(strata, paired, "sign_flip", p_value)


def _comparison(
    strata: Sequence[Stratum],
    paired: PairedDifference,
    test: Literal["mcnemar", "sign_flip", "crossed_bootstrap"],
    p_value: float,
) -> Comparison:
    return Comparison(
        num_questions=sum(len(stratum.first[0]) for stratum in strata),
        first=fmean(fmean(map(fmean, stratum.first)) for stratum in strata),
        second=fmean(fmean(map(fmean, stratum.second)) for stratum in strata),
        difference=paired.difference,
        ci_low=paired.ci_low,
        ci_high=paired.ci_high,
        test=test,
        p_value=p_value,
        p_adjusted=p_value,
        significant=False,
    )


def _judged(comparison: Comparison, p_adjusted: float, confidence: float) -> Comparison:
    significant = p_adjusted < 1 - confidence
    return replace(comparison, p_adjusted=p_adjusted, significant=significant)
