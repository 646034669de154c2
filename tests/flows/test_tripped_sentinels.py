"""A tripped sentinel: exit code 3, a record, an event, and the same command goes on from there."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from rehearsing import SIZES, Rehearsal

from deployments.cli.main import execute
from tasks.artifacts import ArtifactStore
from tasks.catalog import Catalog
from tasks.prefect_events import SENTINEL_EVENT
from tasks.runs import RunLog

pytestmark = pytest.mark.assets

TRIPS = ("sentinels.window=1", "sentinels.length_growth=0.01")
"""Trips at the second step: no rollout is a hundred times shorter than the first step's."""


def command(rehearsal: Rehearsal, stage: str, name: str, *settings: str) -> list[str]:
    sizes = [f"{key}={value}" for key, value in SIZES.items()]
    words = [stage, "--profile", "smoke", "--name", name, "--store", rehearsal.config.store.uri]
    for setting in (*sizes, "training.checkpoint_steps=1", *settings):
        words += ["--set", setting]
    return words


def ask(store: ArtifactStore, sql: str) -> list[dict[str, Any]]:
    with Catalog(store) as catalog:
        rows: list[dict[str, Any]] = catalog.query(sql).to_pylist()
    return rows


def events(api: str, run: str) -> list[dict[str, Any]]:
    """The events of this run's sentinels, as Prefect's server has them."""
    wanted = {"filter": {"event": {"name": [SENTINEL_EVENT]}}, "limit": 50}
    until = time.monotonic() + 20
    while True:
        answer = httpx.post(f"{api}/events/filter", json=wanted, trust_env=False)
        found = answer.raise_for_status().json()["events"]
        own = [event for event in found if event["payload"]["run"] == run]
        if own or time.monotonic() > until:
            return own
        time.sleep(0.2)


def test_a_tripped_sentinel_stops_rl_which_goes_on_with_another_setting(
    rehearsal: Rehearsal, prefect_api: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store = ArtifactStore.open(rehearsal.config.store.uri)
    start = ["--run", rehearsal.name]
    # A seed of its own: the rehearsal's RL stage is done.
    other = "rl.learning_rate=2e-4"
    assert execute([*command(rehearsal, "rl", "tripped", other, *TRIPS), *start]) == 3
    error = capfd.readouterr().err.strip().splitlines()[-1]
    for words in ("length_growth", "sampled_tokens", "step 2", "checkpoint of step 1", "null"):
        assert words in error

    (stage,) = RunLog(store.objects).stages("tripped")
    assert (stage.status, stage.stage) == ("stopped", "rl")
    assert "length_growth" in stage.error
    (trip,) = ask(store, "select * from sentinel_trips where run = 'tripped'")
    assert (trip["sentinel"], trip["step"], trip["back_to_step"]) == ("length_growth", 2, 1)
    steps = "select step, wall_s, reward_mean from training_steps where run = 'tripped' order by 1"
    before = ask(store, steps)
    assert [row["step"] for row in before] == [1, 2]
    folder = Path(store.objects.root) / "partial" / stage.key / "checkpoints"
    assert [path.name[:8] for path in folder.glob("*.json")] == ["00000001"]
    (event,) = events(prefect_api, "tripped")
    assert event["payload"]["message"] == trip["message"]
    assert event["resource"]["evolvesearch.run"] == "tripped"

    off = (TRIPS[0], "sentinels.length_growth=null")
    assert execute([*command(rehearsal, "rl", "tripped", other, *off), *start]) == 0
    after = ask(store, steps)
    assert [row["step"] for row in after] == [1, 2, 3]
    assert after[0] == before[0], "the step of the checkpoint was not made again"
    assert after[1]["wall_s"] != before[1]["wall_s"]
    assert after[1]["reward_mean"] == before[1]["reward_mean"]
    (again,) = RunLog(store.objects).stages("tripped")
    assert (again.status, again.key) == ("done", stage.key)
    assert len(ask(store, "select * from sentinel_trips where run = 'tripped'")) == 1

    capfd.readouterr()
    assert execute(["show", "tripped", "--store", store.uri]) == 2, "a stage alone is no run"
    sql = "select count(*) as n from trajectories where artifact = "
    (made,) = (ref.digest for ref in again.artifacts if ref.kind == "trajectories")
    assert ask(store, f"{sql}'{made}'")[0]["n"] == 3 * 16


def test_a_run_ends_with_exit_code_3_and_its_record_says_why(
    rehearsal: Rehearsal, capfd: pytest.CaptureFixture[str]
) -> None:
    words = command(rehearsal, "run", "stopped", "rl.learning_rate=3e-4", *TRIPS)
    assert execute(words) == 3
    store = ArtifactStore.open(rehearsal.config.store.uri)
    record = RunLog(store.objects).run("stopped")
    assert record is not None
    assert record.status == "stopped"
    assert "sentinel length_growth" in record.error
    capfd.readouterr()
    assert execute(["show", "stopped", "--store", store.uri, "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert [trip["sentinel"] for trip in document["sentinels"]] == ["length_growth"]
    trained = {(row["iteration"], row["stage"]): row for row in document["training"]}
    assert set(trained) == {(0, "sft"), (1, "sft"), (1, "rl")}
    assert (trained[1, "rl"]["step"], trained[1, "rl"]["num_steps"]) == (2, 3)
    assert trained[0, "sft"]["last"]["loss"] < trained[0, "sft"]["first"]["loss"]
    assert execute(["show", "stopped", "--store", store.uri]) == 0
    shown = capfd.readouterr().out
    assert "2/3" in shown
    assert "Stopped at" in shown
