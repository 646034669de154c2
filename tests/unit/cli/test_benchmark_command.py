"""`evolvesearch benchmark` on questions from elsewhere, as far as no model is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agents.trajectory import Question
from deployments.cli.benchmark import _tell_flaws
from deployments.cli.main import execute
from tasks.artifacts import ArtifactStore
from tasks.rows import question_row


@pytest.fixture
def questions_file(tmp_path: Path) -> str:
    rows = [
        {"question": "Who is it?", "answers": ["Ada"], "benchmark": "tq"},
        {"question": "who is it", "answers": ["Ada", "Lovelace"], "benchmark": "tq"},
        {"question": "Where?", "answers": ["Lyon"], "benchmark": "Bamboogle"},
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_dry_run_needs_no_store_no_model_and_no_prefect(questions_file, tmp_path):
    store = tmp_path / "store"
    code = (
        "import sys\n"
        "from deployments.cli.main import execute\n"
        "assert execute(sys.argv[1:]) == 0\n"
        "slow = {'torch', 'transformers', 'prefect', 'datasets', 'pandas'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    arguments = ["benchmark", "--benchmarks-file", questions_file, "--dry-run", "--json"]
    arguments += ["--dev-file", questions_file, "--store", str(store)]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--set", "benchmark.num_questions=1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert (document["num_questions"], document["num_asked"]) == (3, 2)
    triviaqa, bamboogle = (document["benchmarks"][name] for name in ("triviaqa", "bamboogle"))
    assert (triviaqa["num_questions"], triviaqa["num_asked"]) == (2, 1)
    assert triviaqa["num_duplicates"] == len(triviaqa["flagged"]["duplicates"]) == 1
    assert (bamboogle["num_questions"], bamboogle["num_in_dev"]) == (1, 1)
    assert not store.exists()


def test_the_table_of_a_dry_run(questions_file, capsys):
    arguments = ["benchmark", "--benchmarks-file", questions_file, "--benchmarks", "tq"]
    assert execute([*arguments, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "triviaqa" in shown
    assert "bamboogle" not in shown
    assert "2 of 2 would be asked." in shown


def test_flaws_are_told_in_one_line_where_the_questions_are_asked(capsys):
    sound = {"num_duplicates": 0, "num_long_golds": 0, "num_yes_no": 0, "num_left_out": 0}
    _tell_flaws("q.csv", {"nq": sound})
    assert capsys.readouterr().err == ""
    _tell_flaws(
        "q.csv", {"nq": sound | {"num_long_golds": 1_126}, "gaia": {**sound, "num_left_out": 2}}
    )
    assert capsys.readouterr().err == (
        "of the questions of q.csv, 1,126 have only long right answers, 2 are left out "
        "(see --dry-run)\n"
    )


def test_a_dry_run_without_a_file_counts_the_questions_of_the_store(tmp_path, capfd):
    store = ArtifactStore.open(tmp_path / "store")
    rows = [
        question_row(Question(f"{split}-{n}", f"{split} {n}?", ("x",), split=split))
        for split in ("train", "gate", "more_hops")
        for n in range(3)
    ]
    ref = store.write_table("questions", rows, stage_key="construct-1", name="questions")
    arguments = ["benchmark", "--dry-run", "--json", "--questions", ref.digest]
    assert execute([*arguments, "--store", str(tmp_path / "store")]) == 0
    document = json.loads(capfd.readouterr().out)
    assert {name: row["num_questions"] for name, row in document["benchmarks"].items()} == {
        "more_hops": 3
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--benchmarks-file", "none.jsonl"], ["no file none.jsonl", "gaia"]),
        (["--benchmarks-file", "FILE", "--questions", "1234"], ["named twice", "--questions"]),
        (["--benchmarks-file", "FILE", "--benchmarks", "nq"], ["unknown benchmark 'nq'"]),
        (["--benchmarks-file", "FILE", "--search", "gogle"], ["web.search.provider", "gogle"]),
        (["--benchmarks-file", "FILE", "--dev-file", "none.csv"], ["no file none.csv"]),
    ],
)
def test_bad_usage_is_one_line(arguments, words, questions_file, tmp_path, capsys):
    arguments = [questions_file if each == "FILE" else each for each in arguments]
    assert execute(["benchmark", *arguments, "--dry-run", "--store", str(tmp_path / "none")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["to take a policy from", "--policy smollm2-135m-instruct"]),
        (["--dev-file", "dev.csv", "--policy", "x"], ["--dev-file is read by --dry-run alone"]),
    ],
)
def test_without_a_policy_nothing_is_made(arguments, words, questions_file, tmp_path, capsys):
    store = tmp_path / "none"
    given = ["benchmark", "--benchmarks-file", questions_file, "--store", str(store), *arguments]
    assert execute(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words)
    assert not store.exists()
