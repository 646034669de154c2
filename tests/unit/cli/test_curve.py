"""`curve` on a store with one RL training: figures, slopes, pictures, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployments.cli.main import execute
from tasks.artifacts import ArtifactStore
from tasks.runs import RunLog, RunRecord, StageRecord
from tasks.training_steps import TRAINING_STEPS, step_row
from training.reports import StepReport


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A run `demo` with 30 RL steps whose reward rises by 0.01 a step, evaluated every ten."""
    store = ArtifactStore.open(tmp_path / "store")
    rows = []
    for step in range(1, 31):
        metrics = {"entropy": 0.5}
        if step % 10 == 1:
            metrics["held_out_accuracy"] = 0.3 + step / 100
        report = StepReport(step, 30, 0.1, 1.0, 1e-5, 300, 2.0, 0.3 + 0.01 * step, 4, metrics)
        rows.append(step_row("rl", report))
    ref = store.write_table(
        TRAINING_STEPS, rows, stage_key="rl-1", name=TRAINING_STEPS, parents=[], run="demo",
        iteration=1,
    )  # fmt: skip
    log = RunLog(store.objects)
    log.save_run(RunRecord("demo", "laptop", 0, "done", "2026-01-01T00:00:00+00:00", {}))
    last = {"held_out_accuracy": 0.7, "num_steps": 30.0}
    log.save_stage(StageRecord("demo", 1, "rl", "rl-1", "done", artifacts=(ref,), metrics=last))
    return str(tmp_path / "store")


def test_figures_have_their_slopes(store: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert execute(["curve", "demo", "--store", store, "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["num_steps"] == 30
    reward, held_out = document["figures"]
    assert reward["figure"] == "reward_mean"
    assert reward["slope"] == pytest.approx(0.01)
    assert reward["ci_low"] <= 0.01 + 1e-9
    assert reward["ci_high"] >= 0.01 - 1e-9
    assert (held_out["num_points"], held_out["first"]) == (4, pytest.approx(0.31))
    assert held_out["last"] == pytest.approx(0.7)  # measured after the last step
    assert execute(["curve", "demo", "--store", store, "--figures", "entropy"]) == 0
    assert "entropy" in capfd.readouterr().out


@pytest.mark.parametrize(("name", "begins"), [("a.svg", b"<svg"), ("a.png", b"\x89PNG")])
def test_figures_are_drawn(store: str, tmp_path: Path, name: str, begins: bytes) -> None:
    assert execute(["curve", "demo", "--store", store, "--plot", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["curve", "nobody"], "there are: demo"),
        (["curve", "demo", "--stage", "sft"], "no sft steps"),
        (["curve", "demo", "--iteration", "7"], "no rl steps of iteration 7"),
        (["curve", "demo", "--figures", "luck"], "no step has the figure 'luck'; there are"),
        (["curve", "demo", "--plot", "a.gif"], "ends with .svg, .png or .html"),
    ],
)
def test_a_mistake_is_one_line(
    store: str, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert execute([*arguments, "--store", store]) == 2
    error = capsys.readouterr().err.strip()
    assert says in error
    assert "\n" not in error
