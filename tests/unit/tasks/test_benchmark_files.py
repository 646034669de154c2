"""Questions from elsewhere become artifacts that their content names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.errors import UsageError
from agents.trajectory import Question
from evaluation.benchmarks import BenchmarkConfig
from evaluation.sources.load import read_questions
from flows.config import EvolutionConfig
from tasks.artifacts import ArtifactStore
from tasks.benchmark_files import benchmark_questions
from tasks.benchmark_report import file_report
from tasks.construct import check_inputs, web_digest
from tasks.references import reference_of
from tasks.rows import question_row
from tasks.selection import held_out_questions


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "store")


def questions_file(path: Path, num_questions: int = 3) -> str:
    rows = [
        {"question": f"Who is {n}?", "answer": str(n), "benchmark": "tq" if n % 2 else "mine"}
        for n in range(num_questions)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def config_of(file: str, corpus: tuple[str, ...] = ()) -> EvolutionConfig:
    given = {"benchmark": {"file": file}, "web": {"corpus": corpus}}
    return EvolutionConfig.model_validate(given)


def test_the_same_questions_are_the_same_artifact_whatever_the_file_is_called(store, tmp_path):
    first = questions_file(tmp_path / "one.jsonl")
    second = questions_file(tmp_path / "two.jsonl")
    refs = [benchmark_questions(store, config_of(file), "r", "") for file in (first, second)]
    assert refs[0] == refs[1]
    assert len(store.manifests()) == 1
    found = store.read_questions(refs[0])
    assert {question.split for question in found} == {"triviaqa", "mine"}
    metadata = store.manifest(refs[0]).metadata
    assert metadata["source"] == first
    assert metadata["benchmarks"]["mine"]["num_questions"] == 2


def test_another_corpus_is_another_web_of_the_same_questions(store, tmp_path):
    file = questions_file(tmp_path / "q.jsonl")
    corpus = tmp_path / "pages.jsonl"
    webs, digests = set(), set()
    for content in (None, "one", "two"):
        if content is not None:
            corpus.write_text(content)
        config = config_of(file, (str(corpus),) if content else ())
        ref = benchmark_questions(store, config, "r", "")
        webs.add(web_digest(store, ref))
        digests.add(ref.digest)
    assert len(webs) == 3
    assert "" not in webs
    moved = tmp_path / "elsewhere.jsonl"
    moved.write_text("two")
    again = benchmark_questions(store, config_of(file, (str(moved),)), "r", "")
    assert web_digest(store, again) in webs
    assert len(digests) == 1


def test_a_file_stands_in_for_the_questions_of_a_run(store, tmp_path):
    built = store.write_table(
        "questions",
        [question_row(Question("q", "Built?", ("yes",), split="more_hops"))],
        stage_key="construct-1",
        name="questions",
    )
    of_run = reference_of(built)
    assert benchmark_questions(store, config_of(""), "r", of_run) == built
    config = config_of(questions_file(tmp_path / "q.jsonl"))
    imported = benchmark_questions(store, config, "r", of_run)
    assert imported != built
    # What was imported from this very file just before is not read again.
    Path(config.benchmark.file).unlink()
    assert benchmark_questions(store, config, "r", reference_of(imported)) == imported
    with pytest.raises(UsageError, match="no file"):
        check_inputs(config.model_copy(update={"model": "tiny"}))
    with pytest.raises(UsageError, match="no file"):
        benchmark_questions(store, config, "r", of_run)


def test_the_first_questions_of_a_set_are_not_those_that_sort_first():
    ids = [f"musique-{hops}hop__{n}" for hops in (2, 3, 4) for n in range(40)]
    questions = [Question(i, f"{i}?", ("x",), split="musique") for i in ids]
    asked = held_out_questions(questions, BenchmarkConfig(num_questions=30))
    again = held_out_questions(questions[::-1], BenchmarkConfig(num_questions=30))
    assert asked == again
    hops = [question.question_id[8] for question in asked]
    assert all(hops.count(number) >= 4 for number in "234")


def test_the_report_counts_what_is_there_and_what_would_be_asked(tmp_path):
    read = read_questions(questions_file(tmp_path / "q.jsonl", 9))
    dev = [Question("d", "WHO is 3", ("x",))]
    report = file_report(read, BenchmarkConfig(num_questions=2, names=("TQ",)), dev)
    assert (report["num_questions"], report["num_asked"]) == (4, 2)
    row = report["benchmarks"]["triviaqa"]
    assert (row["num_questions"], row["num_asked"], row["num_in_dev"]) == (4, 2, 1)
    assert row["by_hops"] == {"1": 4}
    assert len(row["flagged"]["in_dev"]) == 1
    everything = file_report(read, BenchmarkConfig(num_questions=0))
    assert everything["num_asked"] == everything["num_questions"] == 9
    assert everything["benchmarks"]["mine"]["num_in_dev"] is None
    with pytest.raises(UsageError, match=r"unknown benchmark 'nq': there are mine, triviaqa"):
        file_report(read, BenchmarkConfig(names=("nq",)))
