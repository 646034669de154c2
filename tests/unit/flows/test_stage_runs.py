"""The one stage wrapper: reuse, redo, records, and failures that leave nothing behind."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from agents.errors import StageError, StoppedError
from agents.trajectory import Question
from tasks.artifacts import ArtifactStore
from tasks.config import StageContext
from tasks.leases import Lease, is_held
from tasks.rows import question_row
from tasks.runs import RunLog
from tasks.stage import StageWork, run_stage, skip_stage
from tasks.stage_events import StageEvent, stage_events


class Counted:
    """A stage that writes one table and counts how often it is computed."""

    def __init__(self, store: ArtifactStore, text: str = "a") -> None:
        self.store = store
        self.text = text
        self.count = 0

    def compute(self, lease: Lease) -> None:
        self.count += 1
        row = question_row(Question("q", f"{self.text}{self.count}", ("x",)))
        metadata = {"metrics": {"n": 3}}
        self.store.write_table(
            "questions", [row], stage_key=lease.key, name="questions", metadata=metadata
        )

    def work(self, **changes: Any) -> StageWork:
        fields: dict[str, Any] = {
            "stage": "construct",
            "config": {"text": self.text},
            "inputs": ["input"],
            "outputs": ("questions",),
            "seed": 0,
            "compute": self.compute,
        }
        return StageWork(**{**fields, **changes})


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "store")


def test_a_stage_is_computed_once_and_reused_by_other_runs(store):
    stage = Counted(store)
    first = run_stage(store, StageContext(run="one"), stage.work())
    again = run_stage(store, StageContext(run="one"), stage.work())
    other = run_stage(store, StageContext(run="two"), stage.work())
    assert stage.count == 1
    assert (first.reused, again.reused, other.reused) == (False, True, True)
    assert first.artifacts == again.artifacts == other.artifacts
    assert first.metrics == other.metrics == {"n": 3.0}


def test_the_record_of_a_run_keeps_the_time_its_own_computing_took(store):
    stage = Counted(store)
    runs = RunLog(store.objects)
    run_stage(store, StageContext(run="one"), stage.work())
    before = runs.stages("one")
    run_stage(store, StageContext(run="one"), stage.work())
    assert runs.stages("one") == before
    assert [record.reused for record in before] == [False]
    run_stage(store, StageContext(run="two"), stage.work())
    assert [record.reused for record in runs.stages("two")] == [True]


@pytest.mark.parametrize(
    "change", [{"config": {"text": "b"}}, {"inputs": ["other"]}, {"seed": 1}, {"key_iteration": 1}]
)
def test_whatever_the_result_depends_on_makes_another_key(store, change):
    stage = Counted(store)
    run_stage(store, StageContext(run="one"), stage.work())
    run_stage(store, StageContext(run="one"), stage.work(**change))
    assert stage.count == 2


def test_redo_computes_again_once_and_the_latest_attempt_is_then_reused(store):
    stage = Counted(store)
    first = run_stage(store, StageContext(run="one"), stage.work())
    later = "9999-01-01T00:00:00.000+00:00"
    redo = StageContext(run="one", redo=("construct",), fresh_since=later)
    second = run_stage(store, redo, stage.work())
    assert stage.count == 2
    assert first.artifacts != second.artifacts
    reused = run_stage(store, StageContext(run="one"), stage.work())
    assert reused.artifacts == second.artifacts
    other_stage = StageContext(run="one", redo=("sft",), fresh_since=later)
    run_stage(store, other_stage, stage.work())
    assert stage.count == 2


def test_within_one_call_a_redone_stage_is_not_redone_again(store):
    stage = Counted(store)
    context = StageContext(run="one", redo=("all",), fresh_since="2000-01-01T00:00:00.000+00:00")
    run_stage(store, context, stage.work())
    run_stage(store, context, stage.work())
    assert stage.count == 1


def test_a_failed_stage_leaves_no_artifact_and_says_so(store):
    def fail(lease: Lease) -> None:
        raise StageError("the reason")

    stage = Counted(store)
    with pytest.raises(StageError, match="the reason"):
        run_stage(store, StageContext(run="one"), stage.work(compute=fail))
    assert store.manifests() == []
    (record,) = RunLog(store.objects).stages("one")
    assert (record.status, record.error, record.artifacts) == ("failed", "the reason", ())
    run_stage(store, StageContext(run="one"), stage.work())
    assert [r.status for r in RunLog(store.objects).stages("one")] == ["done"]


@pytest.mark.parametrize("reason", [KeyboardInterrupt, StoppedError])
def test_ctrl_c_and_a_spent_budget_are_recorded_as_stopped(store, reason):
    def interrupt(lease: Lease) -> None:
        raise reason

    with pytest.raises(reason):
        run_stage(store, StageContext(run="one"), Counted(store).work(compute=interrupt))
    assert [record.status for record in RunLog(store.objects).stages("one")] == ["stopped"]


def test_a_stage_that_makes_less_than_it_promised_fails(store):
    with pytest.raises(StageError, match="without making questions"):
        run_stage(store, StageContext(run="one"), Counted(store).work(compute=lambda lease: None))


def test_a_skipped_stage_is_recorded_with_its_reason(store):
    outcome = skip_stage(store, StageContext(run="one", iteration=2), "sft", "nothing was kept")
    assert outcome.artifacts == {}
    (record,) = RunLog(store.objects).stages("one")
    assert (record.stage, record.iteration, record.status) == ("sft", 2, "skipped")
    assert record.error == "nothing was kept"


def test_two_at_once_compute_a_stage_once(store):
    begun, go_on = threading.Event(), threading.Event()
    stage = Counted(store)
    outcomes = []

    def slowly(lease: Lease) -> None:
        begun.set()
        assert go_on.wait(30)
        assert is_held(store.objects, lease.key)
        stage.compute(lease)

    def run(name: str) -> None:
        own = ArtifactStore.open(store.uri)
        outcomes.append(run_stage(own, StageContext(run=name), stage.work(compute=slowly)))

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    threads[0].start()
    assert begun.wait(30)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert stage.count == 1
    assert sorted(outcome.reused for outcome in outcomes) == [False, True]
    assert outcomes[0].artifacts == outcomes[1].artifacts
    reused = {record.run: record.reused for record in RunLog(store.objects).stages()}
    assert reused == {"one": False, "two": True}


def test_a_failed_stage_gives_its_lease_back(store):
    keys = []

    def fail(lease: Lease) -> None:
        keys.append(lease.key)
        raise StageError("the reason")

    with pytest.raises(StageError):
        run_stage(store, StageContext(run="one"), Counted(store).work(compute=fail))
    assert not is_held(store.objects, keys[0])


def test_listeners_hear_what_was_computed_reused_and_skipped(store):
    heard: list[StageEvent] = []
    stage = Counted(store)
    with stage_events(heard.append):
        run_stage(store, StageContext(run="one", iteration=2, subject="x"), stage.work())
        run_stage(store, StageContext(run="one", iteration=2, subject="x"), stage.work())
        skip_stage(store, StageContext(run="one"), "sft", "nothing was kept")
    run_stage(store, StageContext(run="one"), stage.work())
    assert [(e.stage, e.iteration, e.subject, e.status, e.reused) for e in heard] == [
        ("construct", 2, "x", "done", False),
        ("construct", 2, "x", "done", True),
        ("sft", 0, "", "skipped", False),
    ]
    assert heard[0].wall_s > 0
