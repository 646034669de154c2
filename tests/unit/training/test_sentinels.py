"""Sentinels trip on what lasts, not on one noisy step, and see the same after a resumption."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training.reports import StepReport
from training.sentinels import SentinelConfig, Sentinels, Trip

OFF = {
    name: None
    for name, field in SentinelConfig.model_fields.items()
    if field.default is not None and name not in ("enabled", "window", "non_finite")
}
FIGURES = {
    "entropy_floor": "entropy",
    "format_floor": "format_rate",
    "searches_floor": "searches",
    "entropy_rise": "entropy",
    "length_growth": "sampled_tokens",
    "repetition_ceiling": "repetition",
    "infrastructure_ceiling": "infrastructure_rate",
}
RATES = st.floats(0.0, 1.0)


def alone(name: str, threshold: float, window: int) -> SentinelConfig:
    """A configuration in which one sentinel watches."""
    return SentinelConfig(**{**OFF, name: threshold, "window": window})


def report(step: int, loss: float = 1.0, grad_norm: float = 1.0, **metrics: float) -> StepReport:
    return StepReport(step, 99, loss, grad_norm, 1e-4, 10, 1.0, metrics=metrics)


def trips(
    config: SentinelConfig, name: str, values: Sequence[float | None]
) -> list[tuple[int, Trip]]:
    sentinels = Sentinels(config)
    found = []
    for step, value in enumerate(values, 1):
        metrics = {} if value is None else {FIGURES[name]: value}
        if (trip := sentinels.look(report(step, **metrics))) is not None:
            found.append((step, trip))
    return found


def means(values: Sequence[float], window: int) -> list[float]:
    """Mean of each whole window; the first ends at step `window`."""
    ends = range(window, len(values) + 1)
    return [math.fsum(values[end - window : end]) / window for end in ends]


@given(st.lists(RATES, max_size=20), st.integers(1, 6), st.floats(0.01, 1.0))
def test_a_floor_trips_where_a_window_falls_below_what_was_reached(
    values: list[float], window: int, floor: float
) -> None:
    expected, reached = [], False
    for end, mean in enumerate(means(values, window), window):
        if reached and mean < floor:
            expected.append(end)
        reached = reached or mean >= floor
    found = trips(alone("format_floor", floor, window), "format_floor", values)
    assert [step for step, _ in found] == expected


@given(st.lists(RATES, max_size=20), st.integers(1, 6), RATES)
def test_a_ceiling_trips_where_a_window_is_above_it(
    values: list[float], window: int, ceiling: float
) -> None:
    expected = [end for end, mean in enumerate(means(values, window), window) if mean > ceiling]
    found = trips(alone("repetition_ceiling", ceiling, window), "repetition_ceiling", values)
    assert [step for step, _ in found] == expected


@given(st.lists(st.floats(1.0, 900.0), min_size=1, max_size=20), st.integers(1, 6))
def test_rise_and_growth_start_from_the_first_window(values: list[float], window: int) -> None:
    all_means = means(values, window)
    first = all_means[0] if all_means else 0.0
    later = list(enumerate(all_means, window))[1:]
    risen = trips(alone("entropy_rise", 20.0, window), "entropy_rise", values)
    assert [step for step, _ in risen] == [end for end, mean in later if mean > first + 20.0]
    grown = trips(alone("length_growth", 1.5, window), "length_growth", values)
    assert [step for step, _ in grown] == [end for end, mean in later if mean > first * 1.5]


@given(st.integers(2, 8), st.floats(0.3, 1.0), st.integers(0, 30))
def test_one_noisy_step_does_not_trip(window: int, healthy: float, where: int) -> None:
    assume(healthy * (window - 1) / window >= 0.15)
    values = [healthy] * 31
    values[where] = 0.0
    assert trips(alone("format_floor", 0.15, window), "format_floor", values) == []


@given(
    st.lists(st.none() | RATES, min_size=1, max_size=20),
    st.integers(1, 4),
    st.integers(0, 20),
    st.sampled_from(["format_floor", "entropy_rise", "repetition_ceiling"]),
)
def test_a_resumed_training_is_watched_as_if_it_had_gone_on(
    values: list[float | None], window: int, at: int, name: str
) -> None:
    config = alone(name, 0.5, window)
    reports = [
        report(step, **({} if value is None else {FIGURES[name]: value}))
        for step, value in enumerate(values, 1)
    ]
    whole = Sentinels(config)
    expected = [whole.look(each) for each in reports]
    resumed = Sentinels(config, reports[:at])
    assert [resumed.look(each) for each in reports[at:]] == expected[at:]


@given(st.lists(RATES, min_size=1, max_size=20), st.integers(1, 5))
def test_the_last_good_step_is_before_the_whole_window(values: list[float], window: int) -> None:
    for step, trip in trips(alone("repetition_ceiling", 0.5, window), "repetition_ceiling", values):
        assert trip.step == step
        assert trip.first_step == step - window + 1
        assert trip.last_good_step == step - window
        assert trip.value == pytest.approx(math.fsum(values[step - window : step]) / window)


@pytest.mark.parametrize("figures", [{"loss": math.nan}, {"grad_norm": math.inf}])
def test_what_is_not_finite_trips_at_once(figures: dict[str, float]) -> None:
    trip = Sentinels(SentinelConfig()).look(report(3, **figures))
    assert trip is not None
    assert trip.sentinel == "non_finite"
    assert trip.figure in figures
    assert trip.last_good_step == 2
    assert Sentinels(SentinelConfig(non_finite=False)).look(report(3, **figures)) is None
    assert Sentinels(SentinelConfig(enabled=False)).look(report(3, **figures)) is None


def test_a_figure_that_is_not_a_number_spoils_no_window() -> None:
    values = [0.9, math.nan, 0.9, 0.1]
    ((step, trip),) = trips(alone("format_floor", 0.6, 2), "format_floor", values)
    assert (step, trip.first_step, trip.value) == (4, 3, pytest.approx(0.5))


def test_a_policy_that_has_not_learnt_yet_has_not_collapsed() -> None:
    config = alone("format_floor", 0.5, 2)
    assert trips(config, "format_floor", [0.0] * 10) == []
    assert [step for step, _ in trips(config, "format_floor", [0.0, 0.0, 1.0, 1.0, 0.2, 0.2])] == [
        6
    ]


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_every_sentinel_names_its_setting_its_figure_and_its_steps(name: str) -> None:
    falls = name.endswith("floor")
    high, low = (0.9, 0.01) if name != "length_growth" else (900.0, 10.0)
    values = [high, high, low, low] if falls else [low, low, high, high]
    threshold = 1.5 if name == "length_growth" else 0.3
    found = trips(alone(name, threshold, 2), name, values)
    assert found, "it watches the figure that it should"
    line = str(found[-1][1])
    for part in (name, FIGURES[name], f"sentinels.{name}={threshold}", "steps 3 to 4"):
        assert part in line
    assert ("below" if falls else "above") in line
    assert trips(SentinelConfig(**OFF), name, values) == []


def test_a_healthy_training_trips_nothing() -> None:
    """Figures like those of the profiles `smoke` and `laptop` as measured."""
    sentinels = Sentinels(SentinelConfig())
    for step in range(1, 61):
        noise = 0.1 * math.sin(7 * step)
        healthy = report(
            step, entropy=0.04 + noise / 8, format_rate=0.8 + noise, searches=1.6 + noise,
            sampled_tokens=90 + 200 * noise, repetition=0.35, infrastructure_rate=0.0,
        )  # fmt: skip
        assert sentinels.look(healthy) is None
