"""Verdicts in the store: found again by another process, written once."""

from __future__ import annotations

import json

import pytest

from evaluation.judging.config import JudgeConfig
from evaluation.judging.marks import JudgeItem
from evaluation.judging.opening import open_judge
from tasks.artifacts import ArtifactStore
from tasks.judge_cache import StoredVerdicts

ITEM = JudgeItem("q1", "Where is the Louvre?", ("Paris",), "The capital of France")


@pytest.fixture
def store(tmp_path):
    return ArtifactStore.open(tmp_path / "store")


def test_the_first_verdict_of_a_key_stays(store):
    verdicts = StoredVerdicts(store.objects)
    assert verdicts.get_many(["ab12", "cd34"]) == {}
    verdicts.put("ab12", "first é")
    verdicts.put("ab12", "second")
    assert StoredVerdicts(store.objects).get_many(["cd34", "ab12"]) == {"ab12": "first é"}


def test_a_store_pays_for_a_verdict_once(store, chat_server, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-secret-5c")
    chat_server.replies = ['{"rationale": "Same.", "judgement": "correct"}']
    config = JudgeConfig(
        kind="api", api={"url": chat_server.url, "model": "m", "key_variable": "JUDGE_KEY"}
    )
    marks = []
    for _ in range(2):
        judge = open_judge(config, StoredVerdicts(store.objects))
        marks += judge.mark([ITEM])
        judge.close()
    assert [(mark.correct, mark.cached) for mark in marks] == [(True, False), (True, True)]
    assert len(chat_server.asked) == 1
    [path] = store.objects.paths("verdicts")
    kept = json.loads(store.objects.get(path))
    assert kept["judge"] == marks[0].judge
    assert "sk-secret-5c" not in json.dumps(kept)
