"""Training questions that are answered without any tool: found, counted, and left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.errors import EngineError, StageError
from agents.trajectory import Question
from evaluation.contamination.closed_book import num_right, said, without_tools
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.jobs import closed_book
from tasks.jobs.payload import payload_of
from tasks.rows import question_row

KEY = "closed_book-1"
ANSWERS = {
    "known": ["the euro</answer>", "franc</answer>"],
    "unknown": ["a river</answer>", "sea"],
    "silent": ["", "</answer>"],
    "broken": [EngineError("gone"), "euro"],
    "gate": ["euro</answer>", "euro</answer>"],
}
"""What is sampled for each question, attempt by attempt."""


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Euro</answer>", "Euro"),
        ("  Euro \nAnd so on", "Euro"),
        ("Euro", "Euro"),
        ("Euro<answer>Euro</answer>", "Euro"),
        ("\nEuro", "Euro"),
        ("</answer>", None),
        ("", None),
        ("<think>hm", None),
    ],
)
def test_what_was_said_is_read_leniently(text, answer):
    assert said(text) == answer


def test_right_answers_are_counted_by_the_rule_of_rewards():
    assert num_right(["The Euro", None, "franc", "", "EUR"], ["euro", "EUR"]) == 2


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "store")


@pytest.fixture
def run(store: ArtifactStore, tmp_path: Path, small: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the stage's child with an engine that plays `ANSWERS`; returns the engine."""
    tokenizer = small.tokenizer()

    class Engine(small.engine):
        async def generate(self, session: str, token_ids: Any, sampling: Any) -> Any:
            _, question_id, attempt = session.rsplit("-", 2)
            self.asked.append((list(token_ids), sampling))
            # One of its own for each attempt: all of them are under way at once.
            playing = small.engine(tokenizer, [ANSWERS[question_id][int(attempt)]])
            return await playing.generate(session, token_ids, sampling)

    engine = Engine(tokenizer, [])
    engine.asked = []
    monkeypatch.setattr(closed_book, "make_engine", lambda *_: engine)
    monkeypatch.setattr(closed_book, "load_tokenizer", lambda _: tokenizer)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    policy = store.write_policy(folder, stage_key="p")

    def go(asked: list[str], **settings: Any) -> Any:
        rows = [
            question_row(
                Question(key, f"{key}?", ("Euro",), split="gate" if key == "gate" else "train")
            )
            for key in ANSWERS
        ]
        questions = store.write_table(
            "questions", rows, stage_key="c", name="questions", metadata={"web": "digest of it"}
        )
        config = StageConfig.model_validate(
            {
                "store": {"uri": store.objects.uri},
                "closed_book": {"attempts": 2, **settings},
                "agents": {"max_failed_share": 1.0},
            }
        )
        inputs = {"questions": questions, "policy": policy}
        context = StageContext(run="r")
        told = {"question_ids": asked}
        closed_book.run(payload_of(config, context, KEY, inputs, told), lambda _: None)
        return engine

    return go


def rows_of(store: ArtifactStore, kind: str) -> dict[str, dict[str, Any]]:
    manifest = store.find(KEY, kind)
    assert manifest is not None
    return {row["question_id"]: row for row in store.read_table(manifest.ref).to_pylist()}


def test_questions_with_a_right_answer_are_known_and_failed_attempts_do_not_count(run, store):
    run(["known", "unknown", "silent", "broken"])
    rows = rows_of(store, "closed_book")
    figures = {
        key: (row["num_attempts"], row["num_right"], row["known"]) for key, row in rows.items()
    }
    assert figures == {
        "known": (2, 1, True),
        "unknown": (2, 0, False),
        "silent": (2, 0, False),
        "broken": (1, 1, True),
    }
    assert rows["known"]["answers"] == ["the euro", "franc"]
    assert rows["silent"]["answers"] == []
    metrics = store.find(KEY, "closed_book").metadata["metrics"]
    assert (metrics["num_asked"], metrics["num_known"], metrics["known_share"]) == (4, 2, 0.5)
    assert metrics["right_rate"] == pytest.approx(2 / 7)
    assert store.find(KEY, "questions") is None
    assert store.objects.paths("partial") == []


def test_dropped_questions_are_the_known_ones_and_all_else_stays(run, store):
    run(["known", "unknown", "broken"], drop=True)
    assert set(rows_of(store, "questions")) == {"unknown", "silent", "gate"}
    metadata = store.find(KEY, "questions").metadata
    assert (metadata["web"], metadata["metrics"]["num_train_left"]) == ("digest of it", 2)


def test_dropping_every_training_question_is_refused(run, monkeypatch):
    monkeypatch.setitem(ANSWERS, "unknown", ["euro", "euro"])
    monkeypatch.setitem(ANSWERS, "silent", ["euro", "euro"])
    with pytest.raises(StageError, match="knows all 4 training questions"):
        run(["known", "unknown", "silent", "broken"], drop=True)


def test_it_is_asked_at_once_by_a_prompt_without_tools(run, small):
    engine = run(["known"])
    asked, sampling = engine.asked[0]
    text = small.tokenizer().decode(asked)
    assert text.endswith("<answer>")
    assert "known?" in text
    assert "search" not in text
    assert sampling.temperature == 1.0
    assert without_tools(StageConfig().agents).max_turns == 1
