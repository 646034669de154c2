"""The gate promotes by its rule, on the questions that both policies were scored on."""

import pytest
from pydantic import ValidationError

from evaluation.gate import GateConfig, decide


def scores(num_right, num_questions=100):
    return {f"q{i:03}": float(i < num_right) for i in range(num_questions)}


@pytest.mark.parametrize(
    ("rule", "before", "after", "promoted"),
    [
        ("always", 50, 10, True),
        ("not_worse", 50, 50, True),
        ("not_worse", 50, 48, True),
        ("not_worse", 50, 47, False),
        ("significant", 50, 70, True),
        ("significant", 50, 51, False),
        ("significant", 50, 50, False),
    ],
)
def test_rules(rule, before, after, promoted):
    decision = decide(scores(before), scores(after), GateConfig(rule=rule, tolerance=0.02))
    assert decision.promoted is promoted
    assert decision.current_accuracy == pytest.approx(before / 100)
    assert decision.candidate_accuracy == pytest.approx(after / 100)
    assert decision.difference == pytest.approx((after - before) / 100)
    assert f"{before:.1f}% → {after:.1f}%" in decision.reason
    assert "\n" not in decision.reason


def test_only_shared_questions_count():
    candidate = scores(0, 10) | {"other": 1.0}
    decision = decide(scores(10), candidate, GateConfig())
    assert (decision.num_questions, decision.promoted) == (10, False)


def test_a_gate_that_is_off_promotes():
    assert decide(scores(90), scores(0), GateConfig(enabled=False)).promoted


def test_without_shared_questions_only_always_promotes():
    assert not decide({}, {}, GateConfig()).promoted
    assert decide({}, {}, GateConfig(rule="always")).promoted


def test_confidence_and_resamples_are_read():
    loose = GateConfig(rule="significant", confidence=0.1, num_resamples=500)
    strict = GateConfig(rule="significant", confidence=0.999, num_resamples=500)
    candidate = scores(53) | {"q000": 0.0}
    assert decide(scores(50), candidate, loose).promoted
    assert not decide(scores(50), candidate, strict).promoted


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValidationError):
        GateConfig(rule="sometimes")
