"""Intervals agree with published values and with what they must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.statistics import (
    average_interval,
    fit_slope,
    paired_bootstrap,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("num_right", "num_questions", "low", "high"),
    [
        # Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_newcombe(num_right, num_questions, low, high):
    assert wilson_interval(num_right, num_questions) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 500), st.integers(1, 500), st.floats(0.5, 0.999))
def test_wilson_holds_the_share(num_right, num_questions, confidence):
    num_right = min(num_right, num_questions)
    low, high = wilson_interval(num_right, num_questions, confidence)
    assert 0.0 <= low <= num_right / num_questions <= high <= 1.0


def test_more_questions_narrow_the_interval():
    few, many = wilson_interval(30, 60), wilson_interval(300, 600)
    assert many[1] - many[0] < few[1] - few[0]


def test_no_question_says_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_paired_bootstrap_sees_a_clear_gain():
    first, second = [0.0] * 60 + [1.0] * 40, [1.0] * 30 + [0.0] * 30 + [1.0] * 40
    paired = paired_bootstrap(first, second)
    assert paired.difference == pytest.approx(0.3)
    # Normal theory: 0.3 ± 1.96 · sqrt(0.3 · 0.7 / 100).
    assert (paired.ci_low, paired.ci_high) == pytest.approx((0.21, 0.39), abs=0.015)
    assert paired.p_not_better == 0.0


def test_paired_bootstrap_uses_the_pairs():
    scores = [0.0, 1.0] * 50
    same = paired_bootstrap(scores, scores)
    assert (same.difference, same.ci_low, same.ci_high) == (0.0, 0.0, 0.0)
    shuffled = paired_bootstrap(scores, scores[::-1])
    assert shuffled.ci_low < 0 < shuffled.ci_high


def test_the_seed_decides():
    first, second = [0.0, 1.0, 0.5] * 20, [1.0, 0.0, 0.75] * 20
    assert paired_bootstrap(first, second, seed=1) == paired_bootstrap(first, second, seed=1)
    wide = paired_bootstrap(first, second, confidence=0.99, seed=1)
    assert wide.ci_low < paired_bootstrap(first, second, confidence=0.5, seed=1).ci_low


@pytest.mark.parametrize(("first", "second"), [([], []), ([1.0], []), ([1.0], [1.0, 0.0])])
def test_unpaired_scores_are_refused(first, second):
    with pytest.raises(ValueError, match="pairs"):
        paired_bootstrap(first, second)


def test_a_line_has_its_slope_and_no_doubt():
    fit = fit_slope(range(20), [0.5 + 0.25 * x for x in range(20)])
    assert (fit.slope, fit.ci_low, fit.ci_high) == pytest.approx((0.25, 0.25, 0.25))


def test_intervals_of_slopes_hold_the_true_one_about_as_often_as_they_say():
    rng = np.random.default_rng(7)
    held = 0
    for trial in range(200):
        noise = rng.normal(0.0, 1.0, 60)
        fit = fit_slope(range(60), 0.02 * np.arange(60) + noise, num_resamples=400, seed=trial)
        held += fit.ci_low <= 0.02 <= fit.ci_high
    assert 0.88 <= held / 200 <= 0.99


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([1, 1, 1], [1, 2, 3])]
)
def test_no_slope_without_points(x, y):
    with pytest.raises(ValueError, match=r"points|slope"):
        fit_slope(x, y)


def test_the_interval_of_one_score_is_its_own():
    assert average_interval([(0.25, 0.1, 0.5)]) == pytest.approx((0.1, 0.5))


def test_averages_are_surer_than_their_parts_and_never_sure_of_nothing():
    low, high = average_interval([(0.0, *wilson_interval(0, 10))] * 4)
    assert low == 0.0
    assert high == pytest.approx(wilson_interval(0, 10)[1] / 2)
    with pytest.raises(ValueError, match="got none"):
        average_interval([])


def test_the_interval_of_an_average_holds_the_true_one_about_as_often_as_it_says():
    draws = np.random.default_rng(0).binomial([20, 40, 80], [0.05, 0.3, 0.9], size=(2_000, 3))
    held = 0
    for drawn in draws:
        parts = [
            (right / size, *wilson_interval(right, size))
            for right, size in zip(drawn.tolist(), (20, 40, 80), strict=True)
        ]
        low, high = average_interval(parts)
        held += low <= 1.25 / 3 <= high
    assert 0.93 <= held / 2_000 <= 0.98
