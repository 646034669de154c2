"""Sweeps and further iterations of the real loop, and what they leave in Prefect."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from deployments.cli.main import execute
from flows.evolve import run_evolution
from flows.sweep import run_sweep
from tasks.artifacts import ArtifactStore
from tasks.prefect_events import FAILED_EVENT, FINISHED_EVENT
from tasks.prefect_publishing import artifact_key

pytestmark = [pytest.mark.assets, pytest.mark.slow, pytest.mark.timeout(3600)]

VARIANTS: list[dict[str, Any]] = [
    {"rl.learning_rate": 1e-4},  # as rehearsed: all of it is reused
    {"rl.learning_rate": 3e-4},
    {"sft.max_tokens": 8},  # leaves nothing to learn from
]


def artifacts(key: str) -> list[str]:
    """The Markdown of a key, the oldest first."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    return [str(artifact.data) for artifact in sorted(found, key=lambda each: str(each.created))]


def ends(api: str, runs: set[str]) -> dict[str, str]:
    """How runs ended, as their events say."""
    wanted = {
        "filter": {"event": {"name": [FINISHED_EVENT, FAILED_EVENT]}, "order": "ASC"},
        "limit": 50,
    }
    until = time.monotonic() + 60
    while True:
        answer = httpx.post(f"{api}/events/filter", json=wanted, trust_env=False, timeout=30)
        told = {
            event["payload"]["run"]: event["event"]
            for event in answer.raise_for_status().json()["events"]
        }
        if runs <= told.keys() or time.monotonic() > until:
            return {run: told[run] for run in runs & told.keys()}
        time.sleep(0.5)


def test_a_sweep_compares_its_members_and_leaves_a_failed_one_alone(rehearsal, prefect_api):
    document = run_sweep(rehearsal.config, configs=VARIANTS, name="rates")
    same, other, failed = document["members"]
    assert [row["status"] for row in document["members"]] == ["done", "done", "failed"]
    assert "nothing to learn from" in failed["error"]
    assert document["failed"] == [failed["run"]]
    last = [entry for entry in rehearsal.document["iterations"] if entry["promoted"]][-1]
    assert same["policy"] == last["policy"]
    assert same["average"] == pytest.approx(last["average"])
    assert 0.0 <= same["ci_low"] <= same["average"] < same["ci_high"] <= 1.0
    assert other["difference"]["num_questions"] == 7
    assert document["best"]["by"] == "gate"
    assert document["best"]["run"] in (same["run"], other["run"])
    (*_, shown) = artifacts(artifact_key("sweep", "rates"))
    assert "3 of 3 runs have ended, 1 of them failed." in shown
    assert shown.count("```mermaid") == 1
    assert ends(prefect_api, {same["run"], failed["run"]}) == {
        same["run"]: FINISHED_EVENT,
        failed["run"]: FAILED_EVENT,
    }

    again = run_sweep(rehearsal.config, configs=VARIANTS[:2], name="rates")
    assert [row["reused"] for row in again["members"]] == [True, True]
    compared = ("policy", "average", "gate_accuracy", "benchmarks")
    assert [[row[key] for key in compared] for row in again["members"]] == [
        [row[key] for key in compared] for row in (same, other)
    ]


def test_the_command_answers_with_one_document(rehearsal, capfd):
    words = ["--profile", "smoke", "--store", rehearsal.config.store.uri, "--json"]
    settings = {"benchmark.num_questions": 1, "gate.num_questions": 4, "rl.num_steps": 3}
    for key, value in settings.items():
        words += ["--set", f"{key}={value}"]
    assert execute(["sweep", *words, "--name", "cli", "--grid", "iterations=0,1"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["members"][0]["policy_name"] == "cold start"
    assert document["best"]["by"] == "benchmarks", "without an iteration the gate asks nothing"


def test_each_night_makes_one_iteration_more(rehearsal):
    first = run_evolution(rehearsal.config, "night", further_iterations=1)
    assert first["iterations"] == rehearsal.document["iterations"]
    second = run_evolution(rehearsal.config, "night", further_iterations=1)
    assert [entry["name"] for entry in second["iterations"]] == [
        "base",
        "cold start",
        "iteration 1",
        "iteration 2",
    ]
    assert second["iterations"][:3] == first["iterations"]
    assert {stage["iteration"] for stage in second["stages"]} == {2}
    promoted = [entry["policy"] for entry in second["iterations"] if entry["promoted"]]
    store = ArtifactStore.open(rehearsal.config.store)
    assert store.resolve_policy("night").digest == promoted[-1]


def test_stages_of_a_run_started_again_publish_nothing_twice(rehearsal):
    keys = [
        artifact_key(series, rehearsal.name)
        for series in ("benchmark", "filter", "funnel", "samples")
    ]
    before = [artifacts(key) for key in keys]
    assert all(before)
    assert "mermaid" in before[keys.index(artifact_key("funnel", rehearsal.name))][0]
    samples = before[keys.index(artifact_key("samples", rehearsal.name))]
    # Cold start and rollouts of the filter; base, cold start and iteration of the benchmark.
    assert len(samples) == 5
    assert any("## Right" in text and "## Wrong" in text for text in samples)
    run_evolution(rehearsal.config, rehearsal.name)
    assert [artifacts(key) for key in keys] == before
