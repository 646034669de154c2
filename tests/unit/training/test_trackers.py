"""Trackers get the figures of every step; one that is missing or fails is told of by name."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from agents.errors import UsageError
from training import trackers
from training.reports import StepReport
from training.trackers import TrackedRun, TrackerName, chosen_trackers, tracked_training

STEP = StepReport(1, 4, 0.5, 1.5, 1e-4, 300, 2.0, 0.25, 3, {"entropy": 0.4})


class Recorder:
    """A tracker that remembers, and breaks at a chosen step."""

    def __init__(self, breaks_at: int = 0) -> None:
        self.seen: list[tuple[int, dict[str, float]]] = []
        self.closed = False
        self._breaks_at = breaks_at

    def log(self, figures: Mapping[str, float], step: int) -> None:
        if step == self._breaks_at:
            raise ConnectionError("no route")
        self.seen.append((step, dict(figures)))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def recorders(monkeypatch: pytest.MonkeyPatch) -> dict[TrackerName, Recorder]:
    made: dict[TrackerName, Recorder] = {"trackio": Recorder(), "wandb": Recorder(breaks_at=2)}
    monkeypatch.setattr(trackers, "_OPEN", {name: lambda _, n=name: made[n] for name in made})
    monkeypatch.setattr(trackers, "_is_installed", made.__contains__)
    return made


def step(number: int) -> StepReport:
    return StepReport(number, 4, 0.5, 1.5, 1e-4, 300, 2.0)


def test_every_figure_is_passed_on_by_its_name_in_the_store(
    recorders: dict[TrackerName, Recorder], tmp_path: Path
) -> None:
    with tracked_training(["trackio"], TrackedRun("a", tmp_path)) as tracked:
        tracked.note("rl", STEP, {"mfu": None, "tokens_per_s": 150.0})
        assert not recorders["trackio"].closed
    ((number, figures),) = recorders["trackio"].seen
    assert number == 1
    assert figures["rl/entropy"] == 0.4
    assert figures["rl/reward_mean"] == 0.25
    assert figures["rl/tokens_per_s"] == 150.0
    assert "rl/mfu" not in figures
    assert recorders["trackio"].closed


def test_one_that_fails_is_dropped_and_training_goes_on(
    recorders: dict[TrackerName, Recorder], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        tracked_training(["wandb", "trackio"], TrackedRun("a", tmp_path)) as tracked,
    ):
        for number in range(1, 5):
            tracked.note("sft", step(number), {})
    assert [number for number, _ in recorders["trackio"].seen] == [1, 2, 3, 4]
    assert [number for number, _ in recorders["wandb"].seen] == [1]
    (record,) = caplog.records
    assert "wandb" in record.getMessage()
    assert "no route" in record.getMessage()


def test_all_are_closed_where_training_fails(
    recorders: dict[TrackerName, Recorder], tmp_path: Path
) -> None:
    with contextlib.suppress(RuntimeError), tracked_training(["trackio"], TrackedRun("a")):
        raise RuntimeError
    assert recorders["trackio"].closed


def test_what_does_not_open_says_so_before_training(
    recorders: dict[TrackerName, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: TrackedRun) -> Recorder:
        raise PermissionError("read-only")

    monkeypatch.setattr(trackers, "_OPEN", {"trackio": refuse})
    with (
        pytest.raises(UsageError, match="trackio does not open: read-only"),
        tracked_training(["trackio"], TrackedRun("a")),
    ):
        pass


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "_is_installed", lambda _: False)
    with pytest.raises(UsageError, match="the package mlflow is not installed: pip install mlflow"):
        chosen_trackers(["mlflow"])
    assert chosen_trackers(None) == chosen_trackers([]) == ()


def test_trackio_is_the_default_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "_is_installed", lambda name: name == "trackio")
    assert chosen_trackers(None) == ("trackio",)
    assert chosen_trackers([]) == ()


def test_a_folder_of_its_name_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drawn_by_a_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.util.find_spec("drawn_by_a_tracker") is not None
    assert not trackers._is_installed("drawn_by_a_tracker")
    assert trackers._is_installed("json")


def log_twice(name: TrackerName, folder: Path) -> None:
    """Three steps, the last of them lost; then a start that goes on after the second."""
    for steps in ((1, 2, 3), (3, 4)):
        run = TrackedRun("demo-1-rl", folder, steps[0])
        with tracked_training([name], run) as tracked:
            for number in steps:
                tracked.note("rl", step(number), {"mfu": 0.1 * number + 10 * (steps[0] == 3)})


def test_tensorboard_draws_each_step_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log_twice("tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "demo-1-rl"))
    events.Reload()
    drawn = [(event.step, round(event.value, 1)) for event in events.Scalars("rl/mfu")]
    assert drawn == [(1, 0.1), (2, 0.2), (3, 10.3), (4, 10.4)]


def test_trackio_keeps_one_run_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not trackers._is_installed("trackio"):
        pytest.skip("trackio is not installed")
    # It reads this where it is imported, which nothing here has done before.
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "elsewhere"))
    log_twice("trackio", tmp_path)
    with sqlite3.connect(tmp_path / "trackio" / "evolvesearch.db") as database:
        rows = database.execute("select run_name, step from metrics order by step").fetchall()
    assert {run for run, _ in rows} == {"demo-1-rl"}
    assert {number for _, number in rows} == {1, 2, 3, 4}


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_others_write_below_the_folder_and_ask_nobody(
    name: TrackerName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    for variable in ("WANDB_API_KEY", "WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    log_twice(name, tmp_path)
    assert any(path.is_file() for path in (tmp_path / name).rglob("*"))
