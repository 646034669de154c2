"""The whole loop on a bucket, by the command line, and again: the second run computes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.s3, pytest.mark.slow, pytest.mark.assets]

SIZES = {"benchmark.num_questions": 1, "gate.num_questions": 4}
MAIN = "import sys; sys.argv[0] = 'evolvesearch'; from deployments.cli.main import main; main()"


def test_smoke_runs_on_a_bucket_and_is_reused_from_it(s3_server, tmp_path):
    settings = {
        **SIZES,
        "store.endpoint": s3_server.url,
        "store.cache": str(tmp_path / "cache"),
    }
    options = ["--store", f"s3://evolvesearch/{tmp_path.name}"]
    for key, value in settings.items():
        options += ["--set", f"{key}={value}"]

    def command(*words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *words, *options, "--json"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "PREFECT_HOME": str(tmp_path / "prefect"),
            },
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr
        return json.loads(done.stdout)

    first = command("run", "--profile", "smoke", "--name", "a")
    again = command("run", "--profile", "smoke", "--name", "b")
    assert again["iterations"] == first["iterations"]
    stages = command("sql", "select reused from stages where run = 'b' and status = 'done'")
    assert {row["reused"] for row in stages} == {True}
    sql = "select count(*) as n from trajectories join rewards using (trajectory_id)"
    assert command("sql", sql)[0]["n"] > 0
    assert not (tmp_path / "evolvesearch-store").exists()
