"""Paired tests and intervals agree with SciPy's and statsmodels', and with what must be."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_statsmodels
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from evaluation.seeds import Stratum, crossed_bootstrap
from evaluation.significance import McNemar, holm, mcnemar, sign_flip_test
from evaluation.statistics import (
    mean_interval,
    paired_bootstrap,
    stratified_bootstrap,
    wilson_interval,
)

COUNTS = [(1, 0), (0, 6), (5, 5), (12, 5), (3, 17), (80, 110), (400, 460)]


@pytest.mark.parametrize(("only_first", "only_second"), COUNTS)
def test_mcnemar_agrees_with_statsmodels(only_first, only_second):
    table = [[40, only_first], [only_second, 30]]
    expected = mcnemar_of_statsmodels(table, exact=True).pvalue
    assert mcnemar(only_first, only_second).exact_p == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize(("only_first", "only_second"), COUNTS)
def test_mid_p_takes_half_of_what_was_seen_from_scipys_binomial(only_first, only_second):
    coin = scipy.stats.binom(only_first + only_second, 0.5)
    fewer = min(only_first, only_second)
    # Fagerland, Lydersen and Laake (2013), with their case of a draw.
    expected = 2 * coin.cdf(fewer) - coin.pmf(fewer) * (1.5 if only_first == only_second else 1)
    test = mcnemar(only_first, only_second)
    assert test.mid_p == pytest.approx(expected, abs=1e-12)
    assert test.mid_p <= test.exact_p


def test_mcnemar_by_hand():
    assert mcnemar(0, 0) == McNemar(0, 0, 1.0, 1.0)
    # 1 of 8 the other way: 2 · (1 + 8) / 256, and half of 8 / 128 less.
    assert mcnemar(1, 7).exact_p == pytest.approx(18 / 256)
    assert mcnemar(1, 7).mid_p == pytest.approx(10 / 256)


@given(st.integers(0, 200), st.integers(1, 200), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels(num_right, num_questions, confidence):
    num_right = min(num_right, num_questions)
    expected = proportion_confint(num_right, num_questions, 1 - confidence, method="wilson")
    assert wilson_interval(num_right, num_questions, confidence) == pytest.approx(expected)


@pytest.mark.parametrize("size", range(1, 9))
def test_holm_agrees_with_statsmodels(size):
    p_values = np.random.default_rng(size).beta(0.4, 2.0, size).tolist()
    named = {str(place): p for place, p in enumerate(p_values)}
    expected = multipletests(p_values, method="holm")[1]
    assert list(holm(named)) == list(named)
    assert list(holm(named).values()) == pytest.approx(list(expected))


def scores(seed: int, size: int = 120) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 5, size) / 4
    second = np.clip(first + rng.choice([-0.25, 0.0, 0.25, 0.5], size), 0, 1)
    return first.tolist(), second.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_paired_bootstrap_agrees_with_scipy(seed):
    first, second = scores(seed)

    def difference(first, second, axis):
        return np.mean(second, axis=axis) - np.mean(first, axis=axis)

    expected = scipy.stats.bootstrap(
        (first, second),
        difference,
        paired=True,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    ours = paired_bootstrap(first, second, num_resamples=20_000, seed=seed)
    assert (ours.ci_low, ours.ci_high) == pytest.approx((expected.low, expected.high), abs=4e-3)


@pytest.mark.parametrize("seed", range(3))
def test_interval_of_mean_attempts_agrees_with_scipy(seed):
    first, _ = scores(seed)
    expected = scipy.stats.bootstrap(
        (first,), np.mean, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    assert mean_interval(first) == pytest.approx((expected.low, expected.high), abs=6e-3)


def test_attempts_that_agree_are_not_more_questions():
    """Ten questions of five equal attempts are as unsure as ten questions."""
    scores = [1.0] * 4 + [0.0] * 6
    assert mean_interval(scores) == wilson_interval(4, 10)
    narrower = wilson_interval(20, 50)
    assert mean_interval(scores)[0] < narrower[0] < narrower[1] < mean_interval(scores)[1]


def test_equal_scores_leave_doubt():
    low, high = mean_interval([0.5] * 8)
    assert low < 0.35 < 0.65 < high
    assert mean_interval([]) == (0.0, 1.0)


@pytest.mark.parametrize(("first", "second"), [scores(4, 25), scores(5, 40), scores(6, 60)])
def test_sign_flips_agree_with_scipy(first, second):
    differences = np.subtract(second, first)
    expected = scipy.stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=40_000,
        rng=np.random.default_rng(1),
    ).pvalue
    ours = sign_flip_test([differences.tolist()], num_resamples=40_000)
    assert ours == pytest.approx(expected, abs=0.006)


def test_sign_flips_of_right_and_wrong_are_mcnemars_exact_test():
    differences = [1.0] * 14 + [-1.0] * 5 + [0.0] * 60
    ours = sign_flip_test([differences], num_resamples=200_000)
    assert ours == pytest.approx(mcnemar(5, 14).exact_p, abs=0.003)


def test_strata_weigh_alike_whatever_their_size():
    small, large = [1.0, 0.0], [0.0] * 1000
    joint = stratified_bootstrap([small, large])
    assert joint.difference == pytest.approx(0.25)
    assert (joint.ci_low, joint.ci_high) == (0.0, 0.5)
    alone = stratified_bootstrap([small])
    assert paired_bootstrap([0.0, 0.0], small) == alone


def test_crossed_bootstrap_of_one_seed_each_is_the_paired_one():
    first, second = scores(8)
    crossed = crossed_bootstrap([Stratum([first], [second])])
    paired = paired_bootstrap(first, second)
    assert crossed.difference == pytest.approx(paired.difference)
    assert (crossed.ci_low, crossed.ci_high) == pytest.approx(
        (paired.ci_low, paired.ci_high), abs=5e-3
    )


def test_seeds_that_differ_widen_the_interval():
    first = [[0.0] * 100, [0.0] * 100, [0.0] * 100]
    second = [[0.0] * 100, [0.5] * 100, [1.0] * 100]
    apart = crossed_bootstrap([Stratum(first, second)])
    alike = crossed_bootstrap([Stratum(first, [[0.5] * 100] * 3)])
    assert (apart.difference, alike.difference) == (0.5, 0.5)
    assert alike.ci_low == alike.ci_high == 0.5
    assert apart.ci_low == 0.0


def test_crossed_intervals_hold_the_true_difference_about_as_often_as_they_say():
    rng = np.random.default_rng(11)
    held = 0
    for trial in range(150):
        questions = rng.normal(0, 0.3, 80)
        sides = [
            mean + rng.normal(0, 0.08, (6, 1)) + questions + rng.normal(0, 0.4, (6, 80))
            for mean in (0.3, 0.4)
        ]
        made = crossed_bootstrap([Stratum(*sides)], num_resamples=400, seed=trial)
        held += made.ci_low <= 0.1 <= made.ci_high
    assert 0.88 <= held / 150 <= 0.995


def test_one_seed_fewer_is_drawn_than_there_are():
    """Two of three are both the worst in 1 of 9 draws; three of three would be in 1 of 27."""
    seeds = [[0.0] * 30, [0.4] * 30, [0.8] * 30]
    drawn = crossed_bootstrap([Stratum([[0.0] * 30], seeds)], confidence=0.9)
    assert (drawn.ci_low, drawn.ci_high) == (0.0, pytest.approx(0.8))


def test_seeds_are_drawn_alike_for_all_benchmarks():
    """A lucky seed is lucky everywhere, which an average over benchmarks does not even out."""
    seeds = [[0.0] * 50, [0.4] * 50, [0.8] * 50]
    one = crossed_bootstrap([Stratum([[0.0] * 50], seeds)])
    four = crossed_bootstrap([Stratum([[0.0] * 50], seeds)] * 4)
    assert (four.ci_low, four.ci_high) == pytest.approx((one.ci_low, one.ci_high))


def test_seeds_must_have_answered_the_same_questions():
    with pytest.raises(ValueError, match="equal rows"):
        crossed_bootstrap([Stratum([[0.0, 1.0]], [[1.0]])])
    with pytest.raises(ValueError, match="stratum"):
        sign_flip_test([[]])
