"""Further iterations: from where a run stands, once each, whatever was interrupted before."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from agents.errors import StageError, StoreError, UsageError
from evaluation.gate import GateDecision
from flows import evolve as loop
from flows import report as reports
from flows.config import EvolutionConfig
from flows.profiles import load_profile
from flows.promotion import IterationResult, Standing
from flows.standings import StandingLog, course_of
from tasks.references import reference_of
from tasks.runs import PolicyEntry, RunLog, RunRecord

PROMOTED, REFUSED = GateDecision(True, "better", "off"), GateDecision(False, "worse", "off")


class Rehearsed:
    """The loop on fakes: an iteration makes a policy of its own, and may break in the middle."""

    def __init__(self, run: Any, config: EvolutionConfig) -> None:
        self.config = config
        self._run = run
        self.scores = reference_of(run.made["benchmark"]["benchmarks"])
        self.base = reference_of(run.made["construct"]["policy"])
        self.decisions: dict[int, GateDecision] = {}
        self.breaks_at: int | None = None
        self.begun = 0
        self.started_from: dict[int, str] = {}

    def begin(self, config: EvolutionConfig, context: Any, report: Any) -> Standing:
        self.begun += 1
        report.add("base", self.base, True, self.scores)
        return Standing(questions="q", base=self.base, current=self.base, best=self.base)

    def iteration(self, config: EvolutionConfig, context: Any, standing: Standing) -> Any:
        number = context.iteration
        if number == self.breaks_at:
            raise StageError("interrupted")
        self.started_from[number] = standing.current
        return IterationResult(
            candidate=self.policy(number),
            decision=self.decisions.get(number, PROMOTED),
            compared_with=standing.best,
            benchmarks=self.scores,
            rl_trajectories=None,
        )

    def policy(self, number: int) -> str:
        stage = f"step{number}"
        if stage not in self._run.made:
            folder = self._run.store.objects.root / f"made-{number}"
            self._run.policy(stage, folder, [])
        return reference_of(self._run.made[stage]["policy"])

    def call(self, further: int | None = 1, **changes: Any) -> dict[str, Any]:
        self.started_from = {}
        config = self.config.model_copy(update=changes)
        document: dict[str, Any] = loop.evolve.fn(
            config, name="nightly", further_iterations=further
        )
        return document


@pytest.fixture
def rehearsed(sample_run, monkeypatch) -> Rehearsed:
    config = load_profile("smoke", {"store.uri": sample_run.store.uri, "iterations": 2})
    fakes = Rehearsed(sample_run, config)
    monkeypatch.setattr(loop, "_begin", fakes.begin)
    monkeypatch.setattr(loop, "iteration", fakes.iteration)
    monkeypatch.setattr(loop, "get_run_logger", lambda: logging.getLogger("tests"))
    for publish in ("publish_scores", "publish_places"):
        monkeypatch.setattr(reports, publish, lambda *_: None)
    return fakes


def names(document: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in document["iterations"]]


def test_the_first_night_begins_and_every_other_goes_on(rehearsed):
    assert names(rehearsed.call()) == ["base", "iteration 1"]
    assert rehearsed.started_from == {1: rehearsed.base}
    again = rehearsed.call()
    assert names(again) == ["base", "iteration 1", "iteration 2"]
    assert rehearsed.started_from == {2: rehearsed.policy(1)}
    assert rehearsed.begun == 1
    assert [entry["average"] for entry in again["iterations"]] == [None, None, 1.0]
    record = RunLog(rehearsed._run.store.objects).run("nightly")
    assert record is not None
    assert [entry.name for entry in record.policies] == names(again)


def test_it_goes_on_from_the_last_promoted_policy_whatever_came_after(rehearsed):
    rehearsed.decisions = {2: REFUSED}
    rehearsed.call(further=2)
    rehearsed.call()
    assert rehearsed.started_from == {3: rehearsed.policy(1)}


def test_an_iteration_that_was_interrupted_is_finished_and_not_skipped(rehearsed):
    rehearsed.call()
    rehearsed.breaks_at = 2
    with pytest.raises(StageError, match="interrupted"):
        rehearsed.call()
    rehearsed.breaks_at = None
    assert names(rehearsed.call()) == ["base", "iteration 1", "iteration 2"]
    assert list(rehearsed.started_from) == [2]


def test_a_first_night_that_was_interrupted_is_finished(rehearsed):
    rehearsed.breaks_at = 1
    with pytest.raises(StageError):
        rehearsed.call()
    rehearsed.breaks_at = None
    assert names(rehearsed.call()) == ["base", "iteration 1"]


def test_going_through_the_run_again_forgets_nothing_where_it_is_interrupted(rehearsed):
    rehearsed.call(further=3)
    rehearsed.breaks_at = 2
    with pytest.raises(StageError):
        rehearsed.call(further=None)
    rehearsed.breaks_at = None
    assert names(rehearsed.call())[-1] == "iteration 4"
    assert rehearsed.started_from == {4: rehearsed.policy(3)}


def test_an_iteration_that_comes_out_otherwise_voids_what_came_after_it(rehearsed):
    rehearsed.call(further=3)
    rehearsed.decisions = {1: REFUSED}
    rehearsed.call(further=None, iterations=1)
    assert names(rehearsed.call()) == ["base", "iteration 1", "iteration 2"]
    assert rehearsed.started_from == {2: rehearsed.base}


def test_a_run_of_before_standings_is_gone_through_once_more(rehearsed):
    log = RunLog(rehearsed._run.store.objects)
    old = PolicyEntry("iteration 2", 2, "0" * 64, True)
    log.save_run(RunRecord("nightly", "smoke", 0, "done", "2026-01-01", policies=(old,)))
    assert names(rehearsed.call()) == ["base", "iteration 1", "iteration 2", "iteration 3"]
    rehearsed.call()
    assert list(rehearsed.started_from) == [4]


def test_the_stop_rule_keeps_a_run_stopped_until_it_is_changed(rehearsed):
    rehearsed.decisions = {1: REFUSED, 2: REFUSED, 3: REFUSED}
    first = rehearsed.call(further=3, stop_after_failures=2)
    assert first["stopped"] == "2 iterations in a row were not promoted"
    assert names(rehearsed.call(stop_after_failures=2)) == ["base", "iteration 1", "iteration 2"]
    assert rehearsed.started_from == {}
    assert names(rehearsed.call(stop_after_failures=3))[-1] == "iteration 3"


def test_only_iterations_of_this_call_can_be_forced(rehearsed):
    rehearsed.decisions = {1: REFUSED, 2: REFUSED}
    rehearsed.call()
    force = {"name": "nightly", "further_iterations": 1}
    with pytest.raises(UsageError, match=r"--force-promote 1: .* 2 to 2"):
        loop.evolve.fn(rehearsed.config, **force, force_promote=[1])
    forced = loop.evolve.fn(rehearsed.config, **force, force_promote=[2])
    assert forced["iterations"][-1]["forced"] is True
    rehearsed.call()
    assert rehearsed.started_from == {3: rehearsed.policy(2)}


def test_a_damaged_standing_is_one_line(rehearsed):
    rehearsed.call()
    objects = rehearsed._run.store.objects
    objects.put("runs/nightly/standings/000001.json", b"{}")
    with pytest.raises(StoreError, match=r"standings/000001.json is damaged"):
        StandingLog(objects, "nightly").last()


def test_without_further_iterations_the_configuration_says_how_many(rehearsed):
    rehearsed.call(further=5)
    course = course_of(rehearsed.config, "nightly", None)
    assert (course.reached, course.first, course.last) == (None, 1, 2)
