"""The gate promotes by its rule, on the questions that both policies were scored on."""

import pytest
from pydantic import ValidationError

from agents.errors import ConfigError
from evaluation.gate import GateConfig, decide
from flows.profiles import load_profile


def scores(num_right, num_questions=100):
    return {f"q{i:03}": float(i < num_right) for i in range(num_questions)}


@pytest.mark.parametrize(
    ("rule", "threshold", "before", "after", "promoted", "words"),
    [
        ("no_regression", 0.0, 50, 50, True, "not worse"),
        ("no_regression", 0.0, 50, 51, True, "not worse"),
        ("no_regression", 0.0, 50, 49, False, "worse, though not significantly"),
        ("no_regression", 0.0, 50, 30, False, "significantly worse"),
        ("significant_gain", 0.0, 50, 70, True, "surely better"),
        ("significant_gain", 0.0, 50, 51, False, "not surely better"),
        ("significant_gain", 0.0, 50, 50, False, "not surely better"),
        ("significant_gain", 0.1, 50, 70, True, "surely better by more than 10.0%"),
        ("significant_gain", 0.15, 50, 70, False, "not surely better by more than 15.0%"),
    ],
)
def test_rules(rule, threshold, before, after, promoted, words):
    config = GateConfig(rule=rule, threshold=threshold)
    decision = decide(scores(before), scores(after), config)
    assert decision.promoted is promoted
    assert decision.rule == rule
    assert decision.best_accuracy == pytest.approx(before / 100)
    assert decision.candidate_accuracy == pytest.approx(after / 100)
    assert decision.gain == pytest.approx((after - before) / 100)
    assert decision.ci_low <= decision.gain <= decision.ci_high
    start = f"{before:.1f}% → {after:.1f}% on 100 questions: {words}, 95% interval"
    assert decision.reason.startswith(start)
    assert "\n" not in decision.reason


def test_gains_and_losses_that_cancel_out_are_no_regression():
    best = scores(50)
    candidate = {name: 1.0 - score for name, score in best.items()}
    decision = decide(best, candidate, GateConfig())
    assert (decision.promoted, decision.gain) == (True, 0.0)
    assert decision.ci_low < 0 < decision.ci_high


def test_only_shared_questions_count():
    candidate = scores(0, 10) | {"other": 1.0}
    decision = decide(scores(10), candidate, GateConfig())
    assert (decision.num_questions, decision.promoted) == (10, False)


def test_a_gate_that_is_off_promotes():
    decision = decide(scores(90), scores(0), GateConfig(rule="off"))
    assert (decision.promoted, decision.num_questions) == (True, 0)


@pytest.mark.parametrize("rule", ["no_regression", "significant_gain"])
def test_without_shared_questions_nothing_is_promoted(rule):
    assert not decide({}, {"q": 1.0}, GateConfig(rule=rule)).promoted


def test_confidence_and_resamples_are_read():
    loose = GateConfig(rule="significant_gain", confidence=0.1, num_resamples=500)
    strict = GateConfig(rule="significant_gain", confidence=0.999, num_resamples=500)
    candidate = scores(53) | {"q000": 0.0}
    assert decide(scores(50), candidate, loose).promoted
    assert not decide(scores(50), candidate, strict).promoted


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValidationError):
        GateConfig(rule="sometimes")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("always", "off"),
        ("not_worse", "no_regression"),
        ("significant", "significant_gain"),
    ],
)
def test_a_rule_of_an_earlier_version_is_refused_with_its_new_name(old, new):
    with pytest.raises(ConfigError) as failure:
        load_profile("smoke", [f"gate.rule={old}"])
    message = str(failure.value)
    assert message.startswith(f"config key 'gate.rule': got '{old}'; ")
    assert f"now called '{new}'" in message
    for rule in ("no_regression", "significant_gain", "off"):
        assert f"'{rule}'" in message
    assert "\n" not in message
