"""Rewards by a judge over a real API on loopback: stored trajectories judged anew, and RL."""

from __future__ import annotations

import json
from statistics import fmean

import pytest
from chat_server import ChatServer

from deployments.cli.main import execute
from tasks.artifacts import ArtifactStore
from tasks.references import resolve

pytestmark = pytest.mark.assets


@pytest.fixture
def judged(rehearsal, chat_server: ChatServer, capfd: pytest.CaptureFixture[str]):
    """Runs a stage whose judge calls right whatever it is asked about."""
    chat_server.replies = ['{"judgement": "Correct"}']
    api = {"model": "referee", "url": chat_server.url, "key_variable": ""}
    settings = [
        "reward.answer=judge",
        "reward.judge.kind=api",
        "reward.judge.prompt=webdancer",
        *(f"reward.judge.api.{name}={value}" for name, value in api.items()),
    ]

    def run(*arguments: str) -> dict:
        words = [word for setting in settings for word in ("--set", setting)]
        store = ["--store", rehearsal.config.store.uri]
        assert execute([*arguments, *store, *words, "--json"]) == 0
        return json.loads(capfd.readouterr().out)

    return run


def test_stored_trajectories_are_judged_again_without_new_rollouts(rehearsal, judged, chat_server):
    document = judged("filter", "--against", f"{rehearsal.name}/1", "--name", "judged")
    assert chat_server.asked
    was_wrong = [row for row in document["changes"] if row["before"] == "incorrect"]
    assert was_wrong
    assert {row["after"] for row in document["changes"]}.isdisjoint({"incorrect", "infrastructure"})
    # Another filter over the same answers asks nobody: the store has the verdicts.
    num_asked = len(chat_server.asked)
    judged("filter", "--against", f"{rehearsal.name}/1", "--name", "j2", "--set", "filter.top_k=2")
    assert len(chat_server.asked) == num_asked


@pytest.mark.slow
def test_rl_learns_from_a_judges_verdicts(rehearsal, judged, chat_server):
    start = ["--run", rehearsal.name, "--name", "judged-rl", "--profile", "smoke"]
    document = judged("rl", *start, "--set", "rl.num_steps=1")
    assert chat_server.asked
    store = ArtifactStore.open(rehearsal.config.store.uri)
    ref = resolve(store, "trajectories", document["artifacts"]["trajectories"]["reference"])
    made = store.read_table(ref).to_pylist()
    # Every answer is right to this judge, so that only the format is left to earn.
    assert document["metrics"]["first_reward"] == pytest.approx(
        fmean(float(row["format_ok"] and row["answer"] is not None) for row in made)
    )
