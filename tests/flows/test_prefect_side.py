"""What a run leaves in Prefect: named flow runs, tables and a chart; and a server that ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from agents.errors import StageError
from flows.prefect_runtime import prefect_session
from tasks.prefect_artifacts import score_chart
from tasks.prefect_publishing import artifact_key


@pytest.mark.assets
def test_flow_runs_say_what_they_are(rehearsal):
    with get_client(sync_client=True) as client:
        names = {run.name for run in client.read_flow_runs()}
    assert {
        "evolve rehearsal",
        "iteration 1",
        "construct",
        "benchmark base",
        "benchmark cold start",
        "rollout 1",
        "filter 1",
        "sft 1",
        "rl 1",
        "gate best",
        "gate candidate",
        "benchmark 1",
    } <= names


@pytest.mark.assets
def test_scores_verdicts_and_a_chart_are_artifacts_under_stable_keys(rehearsal):
    keys = [
        artifact_key(series, rehearsal.name)
        for series in ("scores", "score-chart", "benchmark", "funnel")
    ]
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=keys))
        )
    assert {artifact.key for artifact in found} == set(keys)
    tables = [json.loads(a.data) for a in found if a.key == keys[0] and isinstance(a.data, str)]
    longest = max(tables, key=lambda table: len(table[0]))
    assert list(longest[0]) == ["benchmark", "base", "cold start", "iteration 1"]
    assert [row["benchmark"] for row in longest[-2:]] == ["average", "promoted"]


def test_the_chart_is_a_mermaid_chart_of_the_averages():
    chart = score_chart([{"name": "base", "average": 0.0}, {"name": "cold start", "average": 0.41}])
    assert '    x-axis ["base", "cold start"]' in chart
    assert "    bar [0.0, 41.0]" in chart
    assert "0 --> 50" in chart


def test_keys_are_what_prefect_accepts():
    assert artifact_key("scores", "My Run_1.2") == "scores-my-run-1-2"


SCRIPT = """
import os, sys, time
from flows.prefect_runtime import prefect_session
with prefect_session():
    from prefect import flow
    from prefect.settings import PREFECT_API_URL
    @flow
    def waits():
        print(PREFECT_API_URL.value(), flush=True)
        time.sleep(float(sys.argv[1]))
    try:
        waits()
    except KeyboardInterrupt:
        print("stopped", flush=True)
print("left", flush=True)
"""


def _start(home: Path, seconds: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, seconds],
        env={
            **{k: v for k, v in os.environ.items() if "PREFECT" not in k},
            "PREFECT_HOME": str(home),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _is_up(url: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{url}/health", timeout=2.0).is_success
    except httpx.TransportError:
        return False


def test_ctrl_c_reaches_the_run_and_its_server_ends_without_noise(tmp_path):
    process = _start(tmp_path, "600")
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert _is_up(url)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out.split() == ["stopped", "left"]
    assert err == ""
    assert process.returncode == 0
    assert not _is_up(url)


@pytest.mark.faults
def test_the_server_does_not_outlive_a_killed_run(tmp_path):
    process = _start(tmp_path, "600")
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert _is_up(url)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    for _ in range(100):
        if not _is_up(url):
            return
        time.sleep(0.1)
    pytest.fail("the server still answers")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    blocked = tmp_path / "file"
    blocked.write_text("")
    settings = {PREFECT_HOME: blocked / "home", PREFECT_API_URL: None}
    with (
        temporary_settings(settings),
        pytest.raises(StageError, match="cannot be written") as caught,
        prefect_session(),
    ):
        pass
    assert "\n" not in str(caught.value)
