"""Every optimizer step is in the store once: while it runs, after a kill, and at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import training_steps
from tasks.artifacts import ArtifactStore
from tasks.catalog import Catalog
from tasks.runs import RunLog, StageRecord
from tasks.training_steps import TRAINING_STEPS, StepLog, step_row
from training.reports import StepReport

KEY = "rl-1"


def report(step: int, loss: float = 1.0, **metrics: float) -> StepReport:
    return StepReport(step, 8, loss, 0.5, 1e-4, 300, 2.0, 0.25, 3, {"entropy": 0.4, **metrics})


def row(step: int, loss: float = 1.0, **metrics: float) -> dict[str, Any]:
    return step_row("rl", report(step, loss, **metrics))


def shown(store: ArtifactStore, columns: str = "step, loss") -> list[tuple[Any, ...]]:
    with Catalog(store) as catalog:
        sql = f"select {columns} from training_steps order by run, step"
        return [tuple(found.values()) for found in catalog.query(sql).to_pylist()]


@contextmanager
def opened(
    store: ArtifactStore, before: Sequence[dict[str, Any]] = (), key: str = KEY
) -> Iterator[StepLog]:
    log = StepLog(store, key)
    with log.open():
        log.begin(before)
        yield log


def record(store: ArtifactStore, status: str, run: str = "demo", key: str = KEY) -> None:
    stage = StageRecord(run, 1, "rl", key, status, started_at=f"t-{run}")
    RunLog(store.objects).save_stage(stage)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "store")


def test_a_stage_at_work_shows_its_steps(store: ArtifactStore) -> None:
    record(store, "running")
    with opened(store) as log:
        log.add(row(1))
        assert shown(store, "run, iteration, artifact, stage, step, tokens_per_s") == [
            ("demo", 1, "", "rl", 1, 150.0)
        ]


def test_figures_have_columns_or_stand_by_name(store: ArtifactStore) -> None:
    record(store, "stopped")
    with opened(store) as log:
        log.add(row(1, format_rate=0.75, searches_2_hops=1.5, rollout_s=4.0, sync_s=0.5))
    columns = "entropy, format_rate, reward_mean, num_mixed_groups, rollout_s, mfu"
    assert shown(store, columns) == [(0.4, 0.75, 0.25, 3, 4.0, None)]
    by_name = "metrics['searches_2_hops'], timings['sync_s'], metrics['sync_s']"
    assert shown(store, by_name) == [(1.5, 0.5, None)]


def test_a_done_stage_shows_its_artifact_alone(store: ArtifactStore) -> None:
    with opened(store) as log:
        for step in (1, 2):
            log.add(row(step))
    ref = store.write_table(
        TRAINING_STEPS, [row(1), row(2)], stage_key=KEY, name=TRAINING_STEPS, run="demo"
    )
    # Killed before its partial files were cleared, and its record never says that it is done.
    record(store, "running")
    assert shown(store, "step, artifact") == [(1, ref.digest), (2, ref.digest)]
    record(store, "running", "other", "rl-2")
    with opened(store, key="rl-2") as log:
        log.add(row(1, 9.0))
    assert shown(store, "run, step, loss") == [
        ("demo", 1, 1.0), ("demo", 2, 1.0), ("other", 1, 9.0)
    ]  # fmt: skip


def test_two_runs_that_wait_for_one_key_do_not_double_it(store: ArtifactStore) -> None:
    record(store, "failed", "a")
    record(store, "running", "b")
    with opened(store) as log:
        log.add(row(1))
    assert shown(store, "run, step") == [("b", 1)]


def test_nothing_is_asked_of_stages_without_steps(store: ArtifactStore) -> None:
    assert shown(store) == []
    record(store, "running")
    assert shown(store) == []


def test_seconds_are_outside_the_digest_and_figures_inside(store: ArtifactStore) -> None:
    def digest(name: str, **metrics: float) -> str:
        rows = [row(1, **metrics)]
        return store.write_table(TRAINING_STEPS, rows, stage_key=name, name="s").digest

    assert digest("a", sync_s=1.0, kl=0.1) == digest("b", sync_s=2.0, kl=0.1)
    assert digest("c", kl=0.1) != digest("d", kl=0.2)


def test_what_is_not_a_number_can_be_kept(store: ArtifactStore) -> None:
    record(store, "failed")
    with opened(store) as log:
        log.add(row(1, math.nan, kl=math.inf))
    ((loss, kl),) = shown(store, "loss, metrics['kl']")
    assert math.isnan(loss)
    assert kl == math.inf


def test_a_long_training_has_few_shards(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(training_steps.time, "monotonic", lambda: now[0])
    with opened(store) as log:
        for step in range(1, 2001):
            now[0] += 10.0
            log.add(row(step))
    num_shards = len(store.objects.paths(f"partial/{KEY}/steps"))
    assert 100 < num_shards < 600
    record(store, "running")
    assert [step for (step,) in shown(store, "step")] == list(range(1, 2001))


@settings(max_examples=25, deadline=None)
@given(
    attempts=st.lists(
        st.tuples(st.integers(1, 6), st.integers(0, 6), st.booleans()), min_size=1, max_size=5
    )
)
def test_steps_are_neither_lost_nor_doubled(
    tmp_path_factory: pytest.TempPathFactory, attempts: list[tuple[int, int, bool]]
) -> None:
    """Each attempt makes some steps, has a checkpoint some steps before its end, and is killed."""
    store = ArtifactStore.open(tmp_path_factory.mktemp("store"))
    record(store, "running")
    kept: list[dict[str, Any]] = []
    for attempt, (num_steps, behind, is_killed) in enumerate(attempts):
        done = list(kept)
        with opened(store, kept) as log:
            for _ in range(num_steps):
                done.append(row(len(done) + 1, loss=float(attempt)))
                log.add(done[-1])
            if is_killed:
                log._waiting.clear()  # what a SIGKILL takes along
        found = shown(store)
        expected = [(step["step"], step["loss"]) for step in done]
        assert found == expected[: len(found)]
        if not is_killed:
            assert found == expected
        assert len(found) > len(kept), "the first step of an attempt is written at once"
        kept = done[: max(len(kept), len(done) - behind)]
