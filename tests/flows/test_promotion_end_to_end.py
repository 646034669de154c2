"""The gate alone: a better policy is promoted, a worse one rolled back, and one may be forced.

Nothing but a learning rate makes the worse policy: RL at 0.3 wrecks what SFT has learnt.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.web.local import open_web
from deployments.cli.main import execute
from evaluation.questions.build import build_questions
from flows.profiles import load_profile
from tasks.artifacts import ArtifactStore
from tasks.catalog import Catalog
from tasks.prefect_events import FORCED_EVENT, PROMOTED_EVENT, ROLLED_BACK_EVENT
from tasks.runs import RunLog

pytestmark = [pytest.mark.assets, pytest.mark.slow]

NUM = 12
SETTINGS: dict[str, Any] = {
    "questions.num_training": NUM,
    "questions.num_gate": NUM,
    "questions.num_per_benchmark": 1,
    "cold_start.num_questions": NUM,
    "rollout.num_questions": NUM,
    "rollout.num_rollouts": 24,
    "rollout.temperature": 0.8,
    "gate.num_questions": NUM,
    "benchmark.names": '["more_hops"]',
    "benchmark.num_questions": 1,
    "sft.start_from": "previous",
    # So few that the cold start learns half of the questions, and leaves the others to be learnt.
    "sft.num_epochs": 30,
}
BETTER = {"rl.enabled": "false"}
"""A second fine-tuning, on the policy's own right rollouts, sharpens what the first has begun."""
WORSE = {"rl.learning_rate": 0.3, "rl.num_steps": 1, "rl.temperature": 1.2, "iterations": 2}
"""Hot rollouts, so that there are wrong ones to learn from, and a step that wrecks everything."""


class Runs:
    """Runs of one store whose gate asks what a tiny policy knows: what it was trained on."""

    def __init__(self, folder: Path) -> None:
        self.store = ArtifactStore.open(folder / "store")
        gate = folder / "gate.jsonl"
        config = load_profile("smoke", SETTINGS)
        built = build_questions(open_web(config.web).graph, config.questions, config.seed)
        lines = [{"question": q.text, "answers": list(q.answers)} for q in built.training]
        gate.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        self._settings = {**SETTINGS, "questions.gate_file": gate}

    def run(self, name: str, settings: dict[str, Any], *words: str) -> int:
        command = ["run", "--profile", "smoke", "--name", name, "--store", self.store.objects.uri]
        for key, value in {**self._settings, **settings}.items():
            command += ["--set", f"{key}={value}"]
        return execute([*command, "--json", *words])

    def sql(self, query: str) -> list[dict[str, Any]]:
        with Catalog(self.store) as catalog:
            rows: list[dict[str, Any]] = catalog.query(query).to_pylist()
        return rows


def events(api: str, run: str, count: int) -> list[tuple[str, str]]:
    """The run's events of policies, by name and by what became of them, as Prefect has them."""
    names = [PROMOTED_EVENT, ROLLED_BACK_EVENT, FORCED_EVENT]
    wanted = {"filter": {"event": {"name": names}, "order": "ASC"}, "limit": 50}
    until = time.monotonic() + 30
    while True:
        answer = httpx.post(f"{api}/events/filter", json=wanted, trust_env=False)
        found = answer.raise_for_status().json()["events"]
        own = [
            (event["payload"]["name"], event["event"])
            for event in found
            if event["payload"]["run"] == run
        ]
        if len(own) >= count or time.monotonic() > until:
            return own
        time.sleep(0.2)


@pytest.mark.timeout(1800)
def test_the_gate_promotes_what_is_better_and_rolls_back_what_is_worse(
    prefect_api: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = Runs(tmp_path)

    assert runs.run("better", BETTER) == 0
    document = json.loads(capfd.readouterr().out)
    base, cold, first = document["iterations"]
    assert (base["gate"], cold["gate"]) == (None, None)
    assert (first["promoted"], first["forced"]) == (True, False)
    assert first["compared_with"] == cold["policy"]
    assert first["gate"]["gain"] > 0
    assert first["gate"]["rule"] == "no_regression"
    assert runs.store.resolve_policy("better").digest == first["policy"]
    assert events(prefect_api, "better", 1) == [("iteration 1", PROMOTED_EVENT)]

    assert runs.run("worse", WORSE) == 0, "a policy that is rolled back is no failure"
    document = json.loads(capfd.readouterr().out)
    assert document["iterations"][:2] == [base, cold]
    for entry in document["iterations"][2:]:
        assert (entry["promoted"], entry["forced"]) == (False, False)
        assert entry["compared_with"] == cold["policy"], "compared with the best, not the last"
        assert entry["gate"]["best_accuracy"] == first["gate"]["best_accuracy"] > 0
        assert entry["gate"]["gain"] < 0
        assert "worse" in entry["gate"]["reason"]
    sampled = "select distinct policy from trajectories where run = 'worse' and source = 'rollout'"
    assert runs.sql(sampled) == [{"policy": cold["policy"]}], "it went on from the best"
    assert runs.store.resolve_policy("worse").digest == cold["policy"]
    record = RunLog(runs.store.objects).run("worse")
    assert record is not None
    assert (record.status, record.error, record.forced) == ("done", "", ())
    rolled_back = [(f"iteration {n}", ROLLED_BACK_EVENT) for n in (1, 2)]
    assert events(prefect_api, "worse", 2) == rolled_back

    only_one = {**WORSE, "iterations": 1}
    assert runs.run("worse", only_one, "--force-promote", "1") == 0
    forced = json.loads(capfd.readouterr().out)["iterations"][2]
    assert (forced["promoted"], forced["forced"]) == (True, True)
    assert forced["gate"] == document["iterations"][2]["gate"], "the gate has not changed its mind"
    assert runs.store.resolve_policy("worse").digest == forced["policy"]
    (row,) = runs.sql("select * from run_policies where run = 'worse' and iteration = 1")
    assert (row["promoted"], row["forced"], row["gain"]) == (True, True, forced["gate"]["gain"])
    assert events(prefect_api, "worse", 3)[2:] == [("iteration 1", FORCED_EVENT)]

    assert runs.run("worse", only_one) == 0, "what was forced once stays forced"
    again = json.loads(capfd.readouterr().out)
    assert again["iterations"][2] == forced
    assert all(stage["reused"] for stage in again["stages"] if stage["status"] == "done")
    record = RunLog(runs.store.objects).run("worse")
    assert record is not None
    (kept,) = record.forced
    assert (kept.iteration, kept.digest) == (1, forced["policy"])
    assert "worse" in kept.reason
