"""Parts of a stage's work, and looking for a stage without running it."""

from __future__ import annotations

import os
import time

import pytest

from agents.errors import StoppedError
from agents.trajectory import Question
from tasks.artifacts import ArtifactStore
from tasks.care.gc import plan_collection
from tasks.config import StageConfig, StageContext
from tasks.jobs.cache_log import CacheLog
from tasks.jobs.payload import Job, payload_of
from tasks.leases import Lease, is_held, leased
from tasks.parts import PARTS, part_of_key, stage_key_of
from tasks.rows import question_row
from tasks.runs import RunLog
from tasks.shards import ShardLog
from tasks.stage import StageWork, look_for, run_part, run_stage, skip_stage
from tasks.stage_events import stage_events

CONTEXT = StageContext(run="one", iteration=1)


class Questions:
    """A stage that logs questions in parts and writes what was logged."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.leases: list[str] = []

    def _work(self, compute) -> StageWork:
        return StageWork("rollout", {"a": 1}, ["input"], ("questions",), 0, compute)

    def part(self, text: str) -> StageWork:
        def compute(lease: Lease) -> None:
            self.leases.append(lease.key)
            assert is_held(self.store.objects, lease.key)
            log = ShardLog(self.store, lease.stage_key, "questions")
            log.append([question_row(Question(text, text, ("x",)))])

        return self._work(compute)

    @property
    def whole(self) -> StageWork:
        def compute(lease: Lease) -> None:
            self.leases.append(lease.key)
            rows = ShardLog(self.store, lease.stage_key, "questions").rows()
            self.store.write_table("questions", rows, stage_key=lease.stage_key, name="questions")

        return self._work(compute)


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "store")


def test_parts_are_joined_by_the_stage_into_one_artifact(store):
    stage = Questions(store)
    run_part(store, CONTEXT, stage.part("a"), 1, 2)
    run_part(store, CONTEXT, stage.part("b"), 2, 2)
    [record] = RunLog(store.objects).stages("one")
    assert (record.stage, record.status) == ("rollout", "running")
    assert store.manifests() == []
    outcome = run_stage(store, CONTEXT, stage.whole)
    assert [q.question_id for q in store.read_questions(outcome.artifacts["questions"])] == [
        "a",
        "b",
    ]
    key = outcome.artifacts["questions"].key
    assert key == record.key
    assert stage.leases == [f"{key}.part-1-of-2", f"{key}.part-2-of-2", key]
    # A part that comes late finds the stage done.
    run_part(store, CONTEXT, stage.part("c"), 1, 2)
    assert len(stage.leases) == 3
    [record] = RunLog(store.objects).stages("one")
    assert record.status == "done"


def test_a_part_that_is_held_by_another_process_is_not_done_twice(store):
    stage = Questions(store)
    run_part(store, CONTEXT, stage.part("a"), 1, 2)
    key = stage_key_of(stage.leases[0])
    assert part_of_key(key, 1, 2) == stage.leases[0]
    with leased(store.objects, part_of_key(key, 2, 2), "other", lambda: False):
        assert is_held(store.objects, part_of_key(key, 2, 2))
        # The stage's own lease is another one.
        assert not is_held(store.objects, key)


def test_a_collection_leaves_what_parts_at_work_have_finished(store):
    stage = Questions(store)
    run_part(store, CONTEXT, stage.part("a"), 1, 2)
    key = stage_key_of(stage.leases[0])
    then = time.time() - 10 * 86400
    for path in store.objects.paths(""):
        os.utime(store.objects.path_of(path), (then, then))
    with leased(store.objects, part_of_key(key, 2, 2), "one", lambda: False):
        plan = plan_collection(store, (), 86400.0)
        assert plan.live == ["one"]
        assert plan.garbage == []


def test_a_look_tells_whether_a_stage_stands_and_does_nothing(store):
    stage = Questions(store)
    told = []
    with stage_events(told.append):
        assert look_for(lambda: run_stage(store, CONTEXT, stage.whole)) is None
        assert (stage.leases, store.objects.paths("")) == ([], [])
        made = run_stage(store, CONTEXT, stage.whole)
        other = StageContext(run="two")
        found = look_for(lambda: run_stage(store, other, stage.whole))
        assert found is not None
        assert found.artifacts == made.artifacts
        anew = CONTEXT.model_copy(update={"redo": ("all",), "fresh_since": "9999-01-01"})
        assert look_for(lambda: run_stage(store, anew, stage.whole)) is None
        skipped = look_for(lambda: skip_stage(store, other, "sft", "nothing was kept"))
        assert skipped is not None
        assert skipped.artifacts == {}
    assert [event.stage for event in told] == ["rollout"]
    assert RunLog(store.objects).stages("two") == []


def test_what_goes_wrong_while_looking_is_raised_and_looking_ends(store):
    def fail():
        raise StoppedError("why")

    with pytest.raises(StoppedError, match="why"):
        look_for(fail)
    assert run_stage(store, CONTEXT, Questions(store).whole).reused is False


def test_parts_share_what_is_left_of_the_budget(store):
    config = StageConfig.model_validate(
        {"store": {"uri": store.uri}, "web": {"cache": "record", "budget": 8}}
    )

    def log(parts: int) -> CacheLog:
        return CacheLog(Job(payload_of(config, CONTEXT, "rollout-x", {}, {PARTS: parts})))

    part = log(4)
    part.cache.budget.charge(2.0, "x")
    with pytest.raises(StoppedError):
        part.cache.budget.charge(0.1, "x")
    log(1).cache.budget.charge(8.0, "x")
