"""`resume`: what a run goes on with, and what it refuses, without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployments.cli.main import execute
from flows.config import EvolutionConfig
from tasks.artifacts import ArtifactStore
from tasks.run_owner import working_on
from tasks.runs import RunLog, RunRecord


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the loop was called with, instead of running it."""
    made: list[dict[str, Any]] = []

    def run_evolution(config: EvolutionConfig, **options: Any) -> dict[str, Any]:
        made.append({"config": config, **options})
        return {"run": options["name"], "iterations": [], "stages": [], "wall_s": 1.0}

    monkeypatch.setattr("flows.evolve.run_evolution", run_evolution)
    return made


@pytest.fixture
def resume(
    finished_run: RunRecord, store_path: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Calls the command on a store whose run has the given status; gives what it said."""

    def call(*arguments: str, status: str = "failed", code: int = 0, **changes: Any) -> str:
        log = RunLog(ArtifactStore.open(store_path).objects)
        log.save_run(replace(finished_run, status=status, **changes))
        assert execute(["resume", *arguments, "--json", "--store", str(store_path)]) == code
        captured = capfd.readouterr()
        return captured.err if code else captured.out

    return call


def test_it_goes_on_with_the_configuration_of_the_record(
    resume: Callable[..., str], calls: list[dict[str, Any]], store_path: Path
) -> None:
    document = json.loads(resume("first"))
    assert document["run"] == "first"
    (call,) = calls
    assert call["name"] == "first"
    config = call["config"]
    assert (config.profile, config.seed) == ("smoke", 7)
    assert config.store.uri == str(store_path)
    assert config == EvolutionConfig(profile="smoke", seed=7, store={"uri": str(store_path)})


def test_last_is_the_newest_run(resume: Callable[..., str], calls: list[dict[str, Any]]) -> None:
    resume("last")
    assert calls[0]["name"] == "first"


@pytest.mark.parametrize(
    "setting",
    [
        "iterations=5",
        "stop_after_failures=1",
        "execution.mode=dispatch",
        "training.checkpoint_s=5",
        "rl.eval_steps=2",
        "store.num_transfers=2",
    ],
)
def test_what_no_result_depends_on_may_change(
    setting: str, resume: Callable[..., str], calls: list[dict[str, Any]]
) -> None:
    resume("first", "--set", setting)
    key, _, value = setting.partition("=")
    found: Any = calls[0]["config"]
    for name in key.split("."):
        found = getattr(found, name)
    assert str(found).removesuffix(".0") == value


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("seed=8", ["seed=8 (it has 7)", "evolvesearch run --name"]),
        ("rl.num_steps=77", ["rl.num_steps=77 (it has 8)"]),
        ("web.cache_from=other", ["web.cache_from"]),
        ("training.launch.num_processes=2", ["training.launch=2"]),
        ("rl.enabled=false", ["rl.enabled=False (it has True)"]),
        ("iterations=0", ["iterations=0", "has finished 1"]),
        ("rl.num_step=3", ["rl.num_steps"]),
    ],
)
def test_what_would_make_another_run_is_refused(
    setting: str, words: list[str], resume: Callable[..., str], calls: list[dict[str, Any]]
) -> None:
    given = ["--set", setting]
    if setting.startswith("web.cache_from"):
        given += ["--set", "web.cache=replay"]
    said = resume("first", *given, code=2)
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    for word in words:
        assert word in said
    assert calls == []


def test_an_unknown_run_is_answered_with_a_near_one(
    resume: Callable[..., str], calls: list[dict[str, Any]]
) -> None:
    assert "did you mean 'first'?" in resume("frist", code=2)
    assert calls == []


def test_a_run_that_is_done_goes_on_only_for_more_iterations(
    resume: Callable[..., str], calls: list[dict[str, Any]]
) -> None:
    said = resume("first", status="done", code=2)
    assert "is done" in said
    assert "--set iterations=3" in said
    resume("first", "--set", "iterations=2", status="done", code=2)
    assert calls == []
    resume("first", "--set", "iterations=3", status="done")
    assert calls[0]["config"].iterations == 3


def test_a_run_that_a_living_process_works_on_is_refused(
    resume: Callable[..., str], calls: list[dict[str, Any]], store_path: Path
) -> None:
    with working_on(ArtifactStore.open(store_path).objects, "first"):
        said = resume("first", status="running", code=2)
    assert "run first is at work: process" in said
    assert calls == []
    resume("first", status="running")
    assert len(calls) == 1


def test_a_record_of_another_version_is_one_line(
    resume: Callable[..., str], finished_run: RunRecord
) -> None:
    said = resume("first", code=2, config={**finished_run.config, "no_such_key": 1})
    assert "another version" in said
    assert "no_such_key" in said
