"""`benchmark` in a store without any run: questions and base policy are made first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployments.cli.main import execute

pytestmark = [pytest.mark.assets, pytest.mark.slow]

FIELDS = {"num_questions", "em", "f1", "accuracy", "mbe", "ci_low", "ci_high", "unjudged"}


def test_an_empty_store_is_enough(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = ["benchmark", "--profile", "smoke", "--json", "--store", str(tmp_path / "store")]
    assert execute(given) == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["status"], len(document["benchmarks"])) == ("done", 7)
    for row in document["benchmarks"].values():
        assert set(row) >= FIELDS
        assert row["mbe"] == row["accuracy"]
    # Another setting of the scores alone: another run, which finds questions and policy.
    assert execute([*given, "--set", "benchmark.normalisation=deepresearcher"]) == 0
    again = json.loads(capfd.readouterr().out)
    assert again["inputs"] == document["inputs"]
    assert not again["reused"]
    trajectories = [each["artifacts"]["trajectories"]["digest"] for each in (document, again)]
    assert trajectories[0] == trajectories[1]
