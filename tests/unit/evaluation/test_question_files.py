"""Questions of one's own in place of built ones; how files are read: `test_sources.py`."""

import json

import pytest

from agents.errors import UsageError
from agents.web.graph import FactGraph
from evaluation.questions.build import build_questions
from evaluation.questions.config import QuestionsConfig


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_files_alone_make_a_question_set_without_held_out_questions_in_training(tmp_path):
    training = write(
        tmp_path / "train.jsonl",
        {"question": "Seen?", "answers": ["a"]},
        {"question": "held  OUT", "answers": ["b"]},
        {"question": "More?", "answers": ["c"]},
    )
    config = QuestionsConfig(
        training_file=str(training),
        gate_file=str(write(tmp_path / "gate.jsonl", {"question": "Gate?", "answers": ["g"]})),
        benchmark_files={
            "mine": str(write(tmp_path / "b.jsonl", {"question": "Held out?", "answers": ["b"]}))
        },
        num_training=2,
    )
    questions = build_questions(FactGraph({}, ()), config, seed=0)
    assert [question.text for question in questions.training] == ["Seen?", "More?"]
    assert [question.split for question in questions.gate] == ["gate"]
    assert list(questions.benchmarks) == ["mine"]


def test_without_facts_and_files_the_way_out_is_told():
    with pytest.raises(UsageError, match="benchmark_files"):
        build_questions(FactGraph({}, ()), QuestionsConfig(), seed=0)
