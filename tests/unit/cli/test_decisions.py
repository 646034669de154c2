"""What `run` and `show` say of the gate's decisions, and how `--force-promote` is read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

import flows.evolve
from deployments.cli.decisions import decision_lines
from deployments.cli.main import execute
from evaluation.gate import GateDecision


def entry(name: str, promoted: bool, gate: GateDecision | None = None, forced: bool = False) -> Any:
    decided = asdict(gate) if gate else None
    return {"name": name, "promoted": promoted, "forced": forced, "gate": decided}


def test_each_iteration_has_a_line_that_says_what_the_run_went_on_from() -> None:
    rule = "no_regression"
    lines = decision_lines(
        [
            entry("base", True),
            entry("cold start", True),
            entry("iteration 1", False, GateDecision(False, "50% → 25%", rule)),
            entry("iteration 2", True, GateDecision(True, "50% → 60%", rule)),
            entry("iteration 3", True, GateDecision(False, "60% → 50%", rule), forced=True),
            entry("iteration 4", False, GateDecision(False, "60% → 40%", rule)),
            entry("iteration 5", False, GateDecision(False, "the iteration changed nothing")),
        ]
    )
    assert lines == [
        "Iteration 1: rolled back to cold start; 50% → 25%.",
        "Iteration 2: promoted; 50% → 60%.",
        "Iteration 3: promoted by --force-promote, against the gate; 60% → 50%.",
        "Iteration 4: rolled back to iteration 2; 60% → 40%.",
        "Iteration 5: no new policy; the iteration changed nothing.",
    ]


def test_a_cold_start_that_changed_nothing_is_not_gone_back_to() -> None:
    refused = entry("iteration 1", False, GateDecision(False, "worse", "no_regression"))
    lines = decision_lines([entry("base", True), entry("cold start", False), refused])
    assert lines == ["Iteration 1: rolled back to base; worse."]


@pytest.mark.parametrize(
    ("words", "force"),
    [
        ([], []),
        (["--force-promote"], "all"),
        (["--force-promote", "2"], [2]),
        (["--force-promote=1", "--force-promote", "2"], [1, 2]),
    ],
)
def test_force_promote_takes_iterations_or_none_for_all(
    words: list[str], force: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given = []

    def run_evolution(*_: Any, force_promote: Any, **__: Any) -> dict[str, Any]:
        given.append(force_promote)
        return {"run": "r", "iterations": []}

    monkeypatch.setattr(flows.evolve, "run_evolution", run_evolution)
    assert execute(["run", *words, "--json"]) == 0
    assert given == [force]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--force-promote", "two"], "got 'two'; expected an iteration's number"),
        (["--force-promote", "9"], "--force-promote 9: expected an iteration of this run, 1 to 1"),
    ],
)
def test_what_is_no_iteration_of_the_run_is_bad_usage(
    words: list[str], message: str, capfd: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    assert execute(["run", "--profile", "smoke", "--store", str(tmp_path), *words]) == 2
    assert message in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
