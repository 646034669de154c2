"""`lineage`, `verify`, `gc`, `archive`, `restore` and `sql --parquet`, as a person gives them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from deployments.cli.main import execute
from tasks.artifacts import ArtifactStore


@pytest.fixture
def store(sample_run) -> str:
    for path in sample_run.store.objects.paths(""):
        file = sample_run.store.objects.path_of(path)
        os.utime(file, (time.time() - 1e6, time.time() - 1e6))
    return str(sample_run.store.objects.root)


def said(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert execute(list(arguments)) == code
    return capfd.readouterr().out


def document(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    return json.loads(said(capfd, *arguments, "--json", code=code))


def failed(capfd: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    assert execute(list(arguments)) == code
    text = capfd.readouterr().err
    assert text.count("\n") == 1
    return text


def test_lineage_gives_one_document(store: str, capfd) -> None:
    found = document(capfd, "lineage", "demo/1/more_hops", "--store", store)
    types = {node["type"] for node in found["nodes"]}
    assert types >= {"score", "question", "trajectory", "verdict", "sft_example", "policy", "page"}
    again = document(capfd, "lineage", found["root"], "--store", store)
    assert again["edges"] == found["edges"]


def test_lineage_is_a_tree_that_counts_what_it_leaves_out(store: str, capfd) -> None:
    text = said(capfd, "lineage", "demo/1/more_hops", "--store", store)
    assert text.startswith("score more_hops: 100.0% of 2 questions right (30.0 to 100.0)")
    for words in ("made from", "2 answers", "answer “euro”, right", "Lyon (city)"):
        assert words in text
    text = said(capfd, "lineage", "http://wiki.local/Lyon", "--store", store)
    assert "12 trajectories, 3 shown (--all)" in text
    text = said(capfd, "lineage", "http://wiki.local/Lyon", "--store", store, "--all")
    assert "12 trajectories\n" in text
    assert text.count("trajectory ") >= 12


def test_lineage_of_nothing_is_one_line(store: str, capfd) -> None:
    assert "nothing in this store" in failed(capfd, "lineage", "x/y/z", "--store", store, code=2)


def test_verify_names_what_is_damaged(store: str, sample_run, capfd) -> None:
    assert "all whole" in said(capfd, "verify", "--store", store)
    assert document(capfd, "verify", "--store", store)["ok"] is True
    path = sample_run.store.manifest(sample_run.made["rl"]["pages"]).files[0].path
    Path(store, path).write_bytes(b"x")
    assert f"{path}: damaged" in said(capfd, "verify", "--store", store, code=1)
    found = document(capfd, "verify", "--store", store, "--quick", code=1)
    assert [problem["path"] for problem in found["problems"]] == [path]


def test_gc_says_first_and_does_it_when_told(store: str, sample_run, capfd) -> None:
    assert "0 bytes to remove" in said(capfd, "gc", "--store", store)
    text = said(capfd, "gc", "--drop", "demo", "--store", store)
    assert "Nothing was removed. Next: evolvesearch gc --drop demo --delete" in text
    planned = document(capfd, "gc", "--drop", "demo", "--store", store)
    assert planned["deleted"] is False
    assert sample_run.store.objects.paths("manifests")
    done = document(capfd, "gc", "--drop", "demo", "--store", store, "--yes")
    assert done["num_bytes"] == planned["num_bytes"] > 0
    assert done["kept_bytes"] == 0
    assert ArtifactStore.open(store).objects.paths("") == []


@pytest.mark.parametrize("age", ["soon", "-1", "5w", "nan"])
def test_a_grace_that_is_no_time_is_bad_usage(store: str, age: str, capfd) -> None:
    assert "is no span of time" in failed(capfd, "gc", "--store", store, f"--grace={age}", code=2)


def test_a_run_goes_through_a_file_into_another_store(store: str, tmp_path: Path, capfd) -> None:
    file, other = str(tmp_path / "demo.tar"), str(tmp_path / "other")
    made = document(capfd, "archive", "last", file, "--store", store)
    assert made["run"] == "demo"
    assert made["num_bytes"] == Path(file).stat().st_size
    assert "is there already" in failed(capfd, "archive", "demo", file, "--store", store, code=2)
    assert "artifacts" in said(capfd, "archive", "demo", file, "--force", "--store", store)
    restored = document(capfd, "restore", file, "--store", other)
    assert restored["num_new"] == restored["num_objects"] == made["num_objects"]
    assert "0 of them new here" in said(capfd, "restore", file, "--store", other)
    assert "all whole" in said(capfd, "verify", "--store", other)
    for ref in ("demo/1/more_hops", "http://wiki.local/Lyon"):
        there, here = (document(capfd, "lineage", ref, "--store", s) for s in (store, other))
        assert there == here


def test_a_foreign_file_leaves_no_store(tmp_path: Path, capfd) -> None:
    other = tmp_path / "other"
    assert "found no file" in failed(
        capfd, "restore", str(tmp_path / "none"), "--store", str(other), code=2
    )
    assert not other.exists()


def test_sql_writes_parquet_with_its_types(store: str, tmp_path: Path, capfd) -> None:
    file = tmp_path / "turns.parquet"
    query = "select trajectory_id, page, turn, 1 as n, 2 as n from page_views where run = 'demo'"
    text = said(capfd, "sql", query, "--store", store, "--parquet", str(file))
    table = pq.read_table(file)
    assert text == f"{table.num_rows} rows in {file}\n"
    assert table.column_names == ["trajectory_id", "page", "turn", "n", "n_1"]
    assert str(table.schema.field("turn").type) == "int32"
    answer = document(capfd, "sql", query, "--store", store, "--parquet", str(file))
    assert answer["num_rows"] == table.num_rows > 0
    message = failed(capfd, "sql", query, "--store", store, "--csv", "--parquet", str(file), code=2)
    assert "--csv and --parquet" in message
    missing = str(tmp_path / "none" / "x.parquet")
    assert "cannot write" in failed(
        capfd, "sql", query, "--store", store, "--parquet", missing, code=1
    )


@pytest.mark.parametrize("command", ["lineage", "verify", "gc", "archive", "restore"])
def test_help_has_examples(command: str, capfd) -> None:
    text = said(capfd, command, "--help")
    assert "Examples:" in text
    assert f"evolvesearch {command}" in text
