"""Two policies on the same questions: the right test, the right questions, and Holm over all."""

from __future__ import annotations

import pytest

from evaluation.comparison import AVERAGE, compare
from evaluation.significance import holm, mcnemar


def scores(name: str, values: str | list[float]) -> dict[str, dict[str, float]]:
    return {name: {f"q{place:03}": float(value) for place, value in enumerate(values)}}


def test_right_and_wrong_are_compared_by_mcnemar():
    first, second = scores("nq", "1" * 10 + "0" * 30), scores("nq", "0" + "1" * 24 + "0" * 15)
    found = compare([first], [second])["nq"]
    assert (found.num_questions, found.only_first, found.only_second) == (40, 1, 15)
    assert found.difference == pytest.approx(14 / 40)
    assert (found.p_value, found.exact_p) == (mcnemar(1, 15).mid_p, mcnemar(1, 15).exact_p)
    assert found.test == "mcnemar"
    assert found.significant
    assert found.ci_low > 0


def test_means_of_attempts_are_compared_by_sign_flips():
    first, second = scores("nq", [0.5, 0.0, 1.0] * 20), scores("nq", [0.75, 0.0, 1.0] * 20)
    found = compare([first], [second])["nq"]
    assert (found.test, found.exact_p) == ("sign_flip", None)
    assert found.significant
    assert found.difference == pytest.approx(0.25 / 3)


def test_only_questions_that_both_answered_count():
    first, second = {"nq": {"a": 1.0, "b": 0.0}}, {"nq": {"b": 1.0, "c": 0.0}, "more": {"d": 1.0}}
    found = compare([first], [second])
    assert list(found) == ["nq"]
    assert (found["nq"].num_questions, found["nq"].first, found["nq"].second) == (1, 0.0, 1.0)


def test_several_benchmarks_are_corrected_together():
    """Differences that would pass alone do not where five were looked at."""
    first, second = {}, {}
    for number in range(5):
        first |= scores(f"b{number}", "0" * 40)
        second |= scores(f"b{number}", "1" * (6 if number == 0 else 1) + "0" * 34)
    found = compare([first], [second])
    alone = compare([{"b0": first["b0"]}], [{"b0": second["b0"]}])
    assert alone["b0"].significant
    assert not found["b0"].significant
    p_values = {name: found[name].p_value for name in first}
    assert {name: found[name].p_adjusted for name in first} == holm(p_values)


def test_the_average_weighs_benchmarks_alike_and_stands_alone():
    first = scores("small", "00") | scores("large", "0" * 98)
    second = scores("small", "11") | scores("large", "0" * 98)
    average = compare([first], [second])[AVERAGE]
    assert (average.num_questions, average.difference) == (100, pytest.approx(0.5))
    assert average.p_adjusted == average.p_value
    assert AVERAGE not in compare([scores("nq", "01")], [scores("nq", "11")])


def test_seeds_that_disagree_take_away_significance():
    base = [scores("nq", "0" * 60)] * 3
    steady = [scores("nq", "1" * 12 + "0" * 48)] * 3
    lucky = [scores("nq", "1" * ones + "0" * (60 - ones)) for ones in (36, 0, 0)]
    assert compare(base, steady)["nq"].significant
    found = compare(base, lucky)["nq"]
    assert found.difference == pytest.approx(compare(base, steady)["nq"].difference)
    assert (found.test, found.significant) == ("crossed_bootstrap", False)


def test_a_policy_does_not_differ_from_itself():
    found = compare([scores("nq", "0110")], [scores("nq", "0110")])["nq"]
    assert (found.difference, found.ci_low, found.ci_high) == (0.0, 0.0, 0.0)
    assert not found.significant
