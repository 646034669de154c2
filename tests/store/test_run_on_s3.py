"""The whole loop on a bucket, by the command line: reused from it, and over a faulty network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import FaultProxy
from run_documents import without_times
from store_servers import BUCKET, KEYS
from survived import record_survived

from tasks.storage.objects import ObjectStore

pytestmark = [pytest.mark.s3, pytest.mark.slow, pytest.mark.assets]

SIZES = {"benchmark.num_questions": 1, "gate.num_questions": 4}
MAIN = "import sys; sys.argv[0] = 'evolvesearch'; from deployments.cli.main import main; main()"
RUN = ("run", "--profile", "smoke", "--name")

Command = Callable[..., subprocess.CompletedProcess[str]]


def command_in(folder: Path, endpoint: str, store: str, **settings: Any) -> Command:
    """The command line, with a store, a cache and a Prefect of its own."""
    options = ["--store", f"s3://{BUCKET}/{store}", "--json"]
    cache = str(folder / f"cache-{store}")
    for key, value in {"store.endpoint": endpoint, "store.cache": cache, **settings}.items():
        options += ["--set", f"{key}={value}"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PREFECT_HOME": str(folder / "prefect"),
    }

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *words, *options],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=environment,
        )
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr
        return done

    return command


def answer_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def first(s3_server, tmp_path_factory) -> tuple[Path, Command, dict[str, Any]]:
    """A finished run on a bucket."""
    folder = tmp_path_factory.mktemp("run")
    command = command_in(folder, s3_server.url, "clean", **SIZES)
    return folder, command, answer_of(command(*RUN, "a"))


def test_smoke_runs_on_a_bucket_and_is_reused_from_it(first, s3_server):
    folder, command, document = first
    again = answer_of(command(*RUN, "b"))
    assert again["iterations"] == document["iterations"]
    sql = "select reused from stages where run = 'b' and status = 'done'"
    assert {row["reused"] for row in answer_of(command("sql", sql))} == {True}
    sql = "select count(*) as n from trajectories join rewards using (trajectory_id)"
    assert answer_of(command("sql", sql))[0]["n"] > 0
    assert not (folder / "evolvesearch-store").exists()
    objects = ObjectStore.open(s3_server.config("clean", folder / "cache"))
    keys = [value.encode() for value in KEYS.values()]
    for path in objects.paths(""):
        data = objects.get(path)
        assert not any(key in data for key in keys), path


@pytest.mark.faults
def test_a_run_over_a_faulty_network_comes_to_the_same(first, s3_server):
    """It ends, or in one clear line; the same command again goes on, to the very same policies."""
    folder, _, document = first
    with FaultProxy(s3_server.url, 7, 0.2, stall_s=3.0) as proxy:
        waits = {"store.timeout_s": 2, "store.retry_s": 10}
        command = command_in(folder, proxy.url, "faulty", **SIZES, **waits)
        for _ in range(8):
            done = command(*RUN, "a")
            if done.returncode == 0:
                break
            last = done.stderr.strip().splitlines()[-1]
            assert done.returncode == 1
            assert last.startswith("error: cannot "), done.stderr[-3000:]
        num_faults = proxy.num_injected
    came_to, expected = answer_of(done)["iterations"], document["iterations"]
    assert without_times(came_to) == without_times(expected)
    assert num_faults > 20
    record_survived("faults", num_faults)
