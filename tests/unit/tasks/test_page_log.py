"""Pages outlive a kill together with the trajectories that saw them, and become an artifact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from store_samples import trajectory

from agents.errors import StoreError
from agents.snapshots import PageRecorder
from agents.trajectory import PageView, Trajectory
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.jobs.page_log import PageLog, write_rollouts
from tasks.jobs.payload import Job, payload_of
from tasks.manifest import ROWS_ITERATION
from tasks.shards import ShardLog, clear_partial

KEY = "rollout-1"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "store")


def seen(recorder: PageRecorder, index: int, *texts: str) -> Trajectory:
    """A trajectory that saw pages of these texts."""
    views = [
        PageView(0, "search", "q", f"http://x/{t}", recorder.note(f"http://x/{t}", t, t))
        for t in texts
    ]
    return replace(trajectory(index), page_views=tuple(views))


def test_a_restarted_stage_has_the_pages_of_what_it_finds_again(store: ArtifactStore) -> None:
    recorder = PageRecorder()
    pages, log = PageLog(store, KEY, recorder), ShardLog(store, KEY)
    with log.open(pages.flush) as keep:
        keep(seen(recorder, 0, "a", "b"))
        # Seen by a trajectory that never ends.
        recorder.note("http://x/lost", "lost", "lost")
    again = PageRecorder()
    resumed = PageLog(store, KEY, again)
    found = [*ShardLog(store, KEY).trajectories(), seen(again, 1, "b", "c")]
    assert [row["text"] for row in sorted(resumed.rows(found), key=lambda r: r["text"])] == [
        "a",
        "b",
        "c",
    ]
    clear_partial(store, KEY)
    assert store.objects.paths("partial") == []


def test_whatever_trajectory_is_in_a_shard_its_pages_are_too(store: ArtifactStore) -> None:
    """A kill may come between any two writes."""
    recorder = PageRecorder()
    written: list[str] = []
    put_new = store.objects.put_new

    def watch(path: str, data: bytes) -> bool:
        written.append(path)
        return put_new(path, data)

    store.objects.put_new = watch  # type: ignore[method-assign]
    with ShardLog(store, KEY).open(PageLog(store, KEY, recorder).flush) as keep:
        keep(seen(recorder, 0, "a"))
    assert [Path(path).parent.name for path in written] == ["pages", KEY]


def test_a_page_that_was_never_logged_is_named(store: ArtifactStore) -> None:
    with pytest.raises(StoreError, match=r"page http://x/a \([0-9a-f]{12}\) was seen, but never"):
        PageLog(store, KEY, PageRecorder()).rows([seen(PageRecorder(), 0, "a")])


def test_pages_are_parents_of_the_trajectories_that_saw_them(store: ArtifactStore) -> None:
    config = StageConfig.model_validate({"store": {"uri": store.uri}})
    asked = store.write_table("questions", [], stage_key="c", name="questions")
    context = StageContext(run="r", iteration=1)
    job = Job(payload_of(config, context, KEY, {"questions": asked}))
    recorder = PageRecorder()
    made = [seen(recorder, 0, "a"), seen(recorder, 1, "a", "b")]
    ref = write_rollouts(job, made, PageLog(job.store, KEY, recorder), {"metrics": {"n": 2}})
    manifest = job.store.manifest(ref)
    assert [parent.kind for parent in manifest.parents] == ["questions", "pages"]
    assert job.store.manifest(manifest.parents[1]).num_rows == 2
    assert manifest.metadata == {"metrics": {"n": 2}, ROWS_ITERATION: 1}
    assert job.store.read_trajectories(ref) == made


def test_the_time_of_reading_is_outside_the_digest(tmp_path: Path) -> None:
    digests = set()
    for number, moment in enumerate(("2026-01-01", "2027-01-01")):
        store = ArtifactStore.open(tmp_path / str(number))
        row = dict.fromkeys(("page", "url", "title", "text_digest", "text"), "x")
        rows = [{**row, "fetched_at": moment}]
        digests.add(store.write_table("pages", rows, stage_key="k", name="pages").digest)
    assert len(digests) == 1
