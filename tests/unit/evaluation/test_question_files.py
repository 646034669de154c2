"""Questions of one's own are read whole, or refused with the line that is wrong."""

import json

import pytest

from agents.errors import UsageError
from agents.web.graph import FactGraph
from evaluation.questions.build import build_questions
from evaluation.questions.config import QuestionsConfig
from evaluation.questions.files import load_questions


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_good_file(tmp_path):
    path = write(
        tmp_path / "q.jsonl",
        {"question": " Who? ", "answers": ["Ada", "Lovelace"], "id": "one"},
        "",
        {"question": "Where?", "answers": "Lyon"},
    )
    first, second = load_questions(path, "mine")
    assert (first.question_id, first.text, first.answers) == (
        "mine-one",
        "Who?",
        ("Ada", "Lovelace"),
    )
    assert (second.split, second.answers, second.num_hops) == ("mine", ("Lyon",), 0)
    assert load_questions(path, "mine")[1].question_id == second.question_id


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "not JSON"),
        ("[]", "an object"),
        ({"answers": ["x"]}, "'question'"),
        ({"question": "?", "answers": []}, "'answers'"),
        ({"question": "?", "answers": [" "]}, "'answers'"),
        ({"question": "?", "answers": [3]}, "'answers'"),
        ({"question": "?", "answers": ["x"], "id": 3}, "'id'"),
        ({"question": "First?", "answers": ["x"]}, "stands twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path, row, message):
    path = write(tmp_path / "q.jsonl", {"question": "First?", "answers": ["x"]}, row)
    with pytest.raises(UsageError, match=rf"line 2.*{message}") as caught:
        load_questions(path, "mine")
    assert "\n" not in str(caught.value)


def test_missing_empty_and_binary_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        load_questions(tmp_path / "none.jsonl", "mine")
    with pytest.raises(UsageError, match="no question"):
        load_questions(write(tmp_path / "empty.jsonl", ""), "mine")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match="cannot read"):
        load_questions(tmp_path / "binary", "mine")


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
