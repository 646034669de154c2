"""`evolvesearch contamination` on files and on the questions of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.trajectory import Hop, Question
from deployments.cli.main import execute
from tasks.artifacts import ArtifactStore
from tasks.rows import question_row
from tasks.runs import RunLog, StageRecord

LYON = "What is the currency of the country where the city of Lyon is located?"
CHAIN = (Hop("Lyon (city)", "country", "France", "u"), Hop("France", "currency", "Euro", "v"))


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def train(tmp_path: Path) -> str:
    rows = [{"question": LYON, "answers": ["Euro"]}, {"question": "Why?", "answers": ["So"]}]
    return write(tmp_path / "train.jsonl", *rows)


@pytest.fixture
def test(tmp_path: Path) -> str:
    return write(
        tmp_path / "test.jsonl",
        {"question": "why", "answers": ["Because"], "benchmark": "tq"},
        {"question": LYON.replace("What is", "What's"), "answers": ["euro"], "benchmark": "tq"},
        {"question": "[b]Who?[/b]", "answers": ["Ada"], "benchmark": "nq"},
    )


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store with a run whose gate asks a question that a benchmark asks, too."""

    def question(key: str, split: str, text: str, chain: tuple[Hop, ...] = ()) -> dict[str, Any]:
        return question_row(Question(key, text, ("Euro",), split=split, chain=chain))

    store = ArtifactStore.open(tmp_path / "store")
    rows = [
        question("t1", "train", LYON, CHAIN),
        question("g1", "gate", "Which money is used in Rome?"),
        question("b1", "more_hops", "which money is used in rome"),
        question("b2", "more_hops", "How does one pay in Lyon's country?", CHAIN),
    ]
    ref = store.write_table(
        "questions", rows, stage_key="construct-1", name="questions", run="demo"
    )
    record = StageRecord("demo", 0, "construct", "construct-1", "done", artifacts=(ref,))
    RunLog(store.objects).save_stage(record)
    return str(tmp_path / "store")


def document_of(capfd: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert execute(["contamination", *words, "--json"]) == 0
    document: dict[str, Any] = json.loads(capfd.readouterr().out)
    return document


def test_files_need_no_store(train, test, tmp_path, capfd):
    words = ("--train", train, "--test", test, "--store", str(tmp_path / "none"))
    document = document_of(capfd, *words)
    assert (document["num_train"], document["gate"]) == (2, None)
    assert list(document["sets"]) == ["triviaqa", "nq"]
    assert document["sets"]["triviaqa"] == {
        "num_questions": 2,
        "exact": 0,
        "normalised": 1,
        "same_chain": 0,
        "near": 1,
        "same_answer": 1,
        "facts_seen": 0,
        "num_overlapping": 2,
    }
    assert document["sets"]["nq"]["num_overlapping"] == 0
    first, second = document["overlaps"]
    assert (first["kind"], first["train"], first["same_answer"]) == ("normalised", "Why?", False)
    assert (second["kind"], second["set"], second["same_answer"]) == ("near", "triviaqa", True)
    assert 0.8 <= second["similarity"] < 1


def test_the_similarity_can_be_chosen(train, test, capfd):
    words = ("--train", train, "--test", test, "--similarity", "1")
    assert document_of(capfd, *words)["sets"]["triviaqa"]["near"] == 0
    assert execute(["contamination", *words[:-1], "0"]) == 2
    assert "--similarity" in capfd.readouterr().err


def test_a_run_is_compared_with_its_gate_and_benchmarks(store, capfd):
    document = document_of(capfd, "demo", "--store", store)
    assert (document["train"], document["num_train"]) == ("run demo", 1)
    assert list(document["sets"]) == ["gate", "more_hops"]
    assert document["sets"]["more_hops"]["same_chain"] == 1
    assert document["sets"]["more_hops"]["facts_seen"] == 1
    assert document["sets"]["gate"]["num_overlapping"] == 0
    assert document["gate"]["sets"]["more_hops"]["normalised"] == 1
    (overlap,) = document["gate"]["overlaps"]
    assert (overlap["test_id"], overlap["train_id"]) == ("b1", "g1")


def test_a_file_takes_the_place_of_a_runs_questions(store, train, test, capfd):
    document = document_of(capfd, "demo", "--store", store, "--test", test)
    assert list(document["sets"]) == ["triviaqa", "nq"]
    assert document["sets"]["triviaqa"]["near"] == 1
    document = document_of(capfd, "demo", "--store", store, "--train", train)
    assert (document["num_train"], document["train"]) == (2, train)
    assert document["sets"]["more_hops"]["num_overlapping"] == 0


def test_a_person_sees_numbers_and_examples(store, train, test, capfd):
    assert execute(["contamination", "--train", train, "--test", test]) == 0
    shown = capfd.readouterr().out
    for words in ("Among 2 training questions", "triviaqa", "100.0", "triviaqa, near 0.8", "Why?"):
        assert words in shown
    assert execute(["contamination", "demo", "--store", store]) == 0
    assert "Among the gate's questions" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--train", "none.jsonl"], "there is no file none.jsonl"),
        (["nobody"], "no run named 'nobody' in this store"),
    ],
)
def test_what_is_not_there_is_named(store, words, message, capfd):
    assert execute(["contamination", *words, "--store", store]) == 2
    assert message in capfd.readouterr().err
