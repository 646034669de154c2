"""Which policy `ask` talks to, what stages read when nothing is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.errors import UsageError
from deployments.cli.options import Settings
from deployments.cli.policy import choose_policy
from deployments.cli.stage_inputs import find_inputs
from tasks.runs import RunRecord


def settings(store: Path, *overrides: str, profile: str | None = None) -> Settings:
    return Settings(profile, overrides, str(store), json=False, debug=False)


def test_ask_takes_the_last_promoted_policy_and_the_runs_own_configuration(
    finished_run: RunRecord, store_path: Path
) -> None:
    chosen = choose_policy(settings(store_path), None)
    assert chosen.digest == finished_run.policies[1].digest
    assert chosen.label == "first/cold start"
    assert (chosen.folder / "model.safetensors").read_bytes() == b"cold start"
    assert chosen.config.seed == 7
    assert chosen.hint == ""


def test_settings_apply_on_top_of_the_runs_configuration(
    finished_run: RunRecord, store_path: Path
) -> None:
    chosen = choose_policy(settings(store_path, "agents.max_turns=3"), "first/base")
    assert chosen.digest == finished_run.policies[0].digest
    assert (chosen.config.agents.max_turns, chosen.config.seed) == (3, 7)


def test_a_named_profile_takes_the_place_of_the_runs_configuration(
    finished_run: RunRecord, store_path: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text("seed = 11\n")
    chosen = choose_policy(settings(store_path, profile=str(profile)), None)
    assert chosen.config.seed == 11


def test_the_tiny_model_exists_only_after_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run --profile smoke first"):
        choose_policy(settings(tmp_path / "none", "model=tiny"), None)


def test_an_unknown_policy_without_a_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder, and no store"):
        choose_policy(settings(tmp_path / "none"), "laptop/1")


def test_a_stage_reads_what_the_newest_run_has(finished_run: RunRecord, store_path: Path) -> None:
    config = settings(store_path).config()
    inputs = find_inputs(config, None, ("questions", "policy"), {"rewards": None})
    assert inputs == {"questions": "key-questions/questions", "policy": "key-cold start/policy"}


def test_what_is_named_is_taken_as_it_is(finished_run: RunRecord, store_path: Path) -> None:
    config = settings(store_path).config()
    named = {"policy": "first/base", "cold_start": "abcd"}
    inputs = find_inputs(config, "first", ("questions", "policy"), named)
    assert inputs["policy"] == "first/base"
    assert inputs["cold_start"] == "abcd"


@pytest.mark.parametrize(
    ("run", "needed", "message"),
    [
        ("second", "questions", "no run named 'second'"),
        (
            "first",
            "trajectories",
            "name one with --trajectories, or a run .* with `evolvesearch ro",
        ),
        ("first", "sft_examples", "name one with --examples"),
    ],
)
def test_what_cannot_be_found_says_what_to_do(
    finished_run: RunRecord, store_path: Path, run: str, needed: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        find_inputs(settings(store_path).config(), run, (needed,), {})


def test_without_a_store_stages_start_at_construct(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="start with `evolvesearch construct`"):
        find_inputs(settings(tmp_path / "none").config(), None, ("questions",), {})
