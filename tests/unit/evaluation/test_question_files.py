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


def own_gate(tmp_path, *gate):
    """A question set of files alone, of which only the gate's may vary."""
    asked = {"train": "Seen?", "b": "Held out?"}
    paths = {
        name: str(write(tmp_path / f"{name}.jsonl", {"question": text, "answers": ["a"]}))
        for name, text in asked.items()
    }
    rows = [{"question": text, "answers": ["a"]} for text in gate]
    config = QuestionsConfig(
        training_file=paths["train"],
        gate_file=str(write(tmp_path / "gate.jsonl", *rows)),
        benchmark_files={"mine": paths["b"]},
        num_gate=2,
    )
    return build_questions(FactGraph({}, ()), config, seed=0)


def test_the_gate_never_asks_a_question_of_a_benchmark(tmp_path):
    questions = own_gate(tmp_path, "Gate?", "held  OUT", "Another?", "One more?")
    assert [question.text for question in questions.gate] == ["Gate?", "Another?"]


def test_a_gate_of_benchmark_questions_alone_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"gate\.jsonl: every question is also a benchmark"):
        own_gate(tmp_path, "held out")


def test_without_facts_and_files_the_way_out_is_told():
    with pytest.raises(UsageError, match="benchmark_files"):
        build_questions(FactGraph({}, ()), QuestionsConfig(), seed=0)
