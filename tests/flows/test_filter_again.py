"""`filter --against`: another rule over stored trajectories, beside the first one's verdicts."""

from __future__ import annotations

import json

import pytest

from deployments.cli.main import execute
from tasks.artifacts import ArtifactStore
from tasks.references import resolve
from tasks.runs import RunLog

pytestmark = pytest.mark.assets


def test_another_rule_says_how_verdicts_changed(rehearsal, capfd: pytest.CaptureFixture[str]):
    uri = rehearsal.config.store.uri
    store = ArtifactStore.open(uri)
    stages = RunLog(store.objects).stages(rehearsal.name)
    (old,) = (s for s in stages if (s.iteration, s.stage) == (1, "filter"))
    num_kept = int(old.metrics["num_kept"])
    rollouts = [m for m in store.manifests() if m.ref.kind == "trajectories"]
    arguments = ["filter", "--against", f"{rehearsal.name}/1", "--store", uri, "--name", "again"]
    assert execute([*arguments, "--set", "filter.top_k=3", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    # The rule is that of the run, but for what was set.
    assert document["metrics"]["num_kept"] == 3
    assert document["num_no_longer_kept"] == num_kept - 3
    assert document["num_newly_kept"] == 0
    changed = {
        (row["before"], row["after"]): row["num_trajectories"]
        for row in document["changes"]
        if row["before"] != row["after"]
    }
    assert changed == {("kept", "below_top_k"): num_kept - 3}
    assert sum(row["num_trajectories"] for row in document["changes"]) == int(
        old.metrics["num_trajectories"]
    )
    fresh = ArtifactStore.open(uri)
    new = resolve(fresh, "verdicts", document["artifacts"]["verdicts"]["reference"])
    (before,) = (ref for ref in old.artifacts if ref.kind == "verdicts")
    assert document["against"]["digest"] == before.digest != new.digest
    assert fresh.read_table(before).num_rows == fresh.read_table(new).num_rows
    # Nothing was sampled.
    assert [m for m in fresh.manifests() if m.ref.kind == "trajectories"] == rollouts


def test_the_same_rule_changes_nothing_and_is_reused(rehearsal, capfd: pytest.CaptureFixture[str]):
    arguments = ["filter", "--against", f"{rehearsal.name}/1", "--name", "same"]
    assert execute([*arguments, "--store", rehearsal.config.store.uri, "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["reused"] is True
    assert all(row["before"] == row["after"] for row in document["changes"])
