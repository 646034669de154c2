"""Where a stage's inputs come from when nothing is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.errors import UsageError
from deployments.cli.stage_inputs import find_inputs, has_stages
from flows.config import EvolutionConfig
from tasks.artifacts import ArtifactStore
from tasks.manifest import ArtifactRef
from tasks.runs import RunLog, StageRecord


class Runs:
    def __init__(self, folder: Path) -> None:
        self.config = EvolutionConfig.model_validate({"store": {"uri": str(folder)}})
        self.store = ArtifactStore.open(folder)
        self.number = 0

    def stage(self, run: str, stage: str, kind: str = "") -> str:
        """Records a stage, with an artifact of a kind of its own; returns its reference."""
        self.number += 1
        key, refs = f"{stage}-{self.number}", tuple[ArtifactRef, ...]()
        if kind:
            refs = (self.store.write_table(kind, [], stage_key=key, name=kind),)
        started = f"2026-01-02T03:04:{self.number:02d}.000+00:00"
        RunLog(self.store.objects).save_stage(
            StageRecord(run, 0, stage, key, "done", artifacts=refs, started_at=started)
        )
        return f"{key}/{kind}"


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "store")


def found(runs: Runs, run: str | None = None, *keys: str) -> dict[str, str]:
    wanted = keys or ("questions",)
    return find_inputs(runs.config, run, wanted, dict.fromkeys(wanted))


def test_the_newest_run_that_has_them(runs: Runs) -> None:
    runs.stage("old", "construct", "questions")
    newer = runs.stage("newer", "construct", "questions")
    assert found(runs) == {"questions": newer}


def test_a_run_of_one_stage_alone_does_not_hide_what_others_have(runs: Runs) -> None:
    made = runs.stage("old", "construct", "questions")
    runs.stage("latest", "benchmark", "questions")
    assert found(runs) == {"questions": made}


def test_inputs_of_one_stage_come_from_one_run(runs: Runs) -> None:
    runs.stage("old", "construct", "questions")
    both = [runs.stage("whole", "construct", "questions")]
    both.append(runs.stage("whole", "rollout", "trajectories"))
    runs.stage("part", "construct", "questions")
    assert list(found(runs, None, "questions", "trajectories").values()) == both


def test_a_named_run_must_have_them_itself(runs: Runs) -> None:
    runs.stage("old", "construct", "questions")
    runs.stage("latest", "benchmark")
    with pytest.raises(UsageError, match="run latest has no questions"):
        found(runs, "latest")
    with pytest.raises(UsageError, match="no run named 'none'"):
        found(runs, "none")


def test_the_run_of_the_same_settings_comes_first(runs: Runs) -> None:
    own = runs.stage(runs.config.default_run_name, "construct", "questions")
    runs.stage("newer", "construct", "questions")
    assert found(runs) == {"questions": own}


def test_a_store_without_stages_is_said_to_have_none(runs: Runs, tmp_path: Path) -> None:
    assert not has_stages(runs.config)
    runs.stage("r", "construct")
    assert has_stages(runs.config)
    nowhere = EvolutionConfig.model_validate({"store": {"uri": str(tmp_path / "nowhere")}})
    assert not has_stages(nowhere)
