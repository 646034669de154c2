"""`runs`, `show` and `sql` on a store with one finished run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployments.cli.main import execute
from deployments.cli.store import unique_names
from tasks.artifacts import ArtifactStore
from tasks.runs import RunRecord


def answer_of(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert execute(list(arguments)) == code
    return capfd.readouterr().out


def test_runs_gives_each_policy_with_its_average(
    finished_run: RunRecord, store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = json.loads(answer_of(capfd, "runs", "--store", str(store_path), "--json"))
    assert [row["run"] for row in rows] == ["first"]
    averages = {entry["name"]: entry["average"] for entry in rows[0]["policies"]}
    assert averages == {"base": 0.25, "cold start": 0.75, "iteration 1": 0.5}
    assert "first" in answer_of(capfd, "runs", "--store", str(store_path))


def test_show_gives_stages_funnel_and_scores(
    finished_run: RunRecord, store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = answer_of(capfd, "show", "last", "--store", str(store_path), "--json")
    document = json.loads(text)
    assert document["run"] == "first"
    assert [row["stage"] for row in document["stages"]][:3] == ["construct", "filter", "sft"]
    funnel = [(row["kept"], row["reason"], row["num_trajectories"]) for row in document["funnel"]]
    assert funnel == [(True, "kept", 2), (False, "wrong answer", 2), (False, "malformed", 1)]
    base = document["iterations"][0]
    assert set(base["benchmarks"]) == {"more_hops", "unseen_kind"}
    assert base["benchmarks"]["more_hops"]["accuracy"] == 0.25


def test_show_prints_the_same_for_a_person(
    finished_run: RunRecord, store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = answer_of(capfd, "show", "first", "--store", str(store_path))
    assert text.index("unseen_kind") < text.index("more_hops")  # as the run itself lists them
    for words in ("1 min 15 s", "reused", "wrong answer", "iteration 1", "+25.0"):
        assert words in text


def test_an_unknown_run_is_named_with_those_that_exist(
    finished_run: RunRecord, store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["show", "frist", "--store", str(store_path)]) == 2
    assert "there are: first" in capsys.readouterr().err


QUERY = "select stage, iteration, wall_s from stages order by 1, 2"


def test_sql_answers_with_row_objects_and_nothing_else(
    finished_run: RunRecord, store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = json.loads(answer_of(capfd, "sql", QUERY, "--store", str(store_path), "--json"))
    assert len(rows) == 6
    assert rows[-1] == {"stage": "sft", "iteration": 0, "wall_s": 1.5}


def test_sql_writes_csv_and_tables(
    finished_run: RunRecord, store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = answer_of(capfd, "sql", QUERY, "--store", str(store_path), "--csv").splitlines()
    assert lines[0] == "stage,iteration,wall_s"
    assert lines[-1] == "sft,0,1.5"
    table = answer_of(capfd, "sql", "select '[red]' as mark", "--store", str(store_path))
    assert "[red]" in table
    assert table.endswith("1 row\n")


def test_json_stays_json_where_a_number_is_none(
    finished_run: RunRecord, store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    query = "select 'nan'::double as n, ['inf'::double, 1.0] as l, 1.5::decimal(3, 1) as d"
    (row,) = json.loads(answer_of(capfd, "sql", query, "--store", str(store_path), "--json"))
    assert row == {"n": None, "l": [None, 1.0], "d": "1.5"}


def test_bad_sql_is_one_line_and_exit_code_2(
    finished_run: RunRecord, store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["sql", "select nothing from stages", "--store", str(store_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_columns_of_one_name_do_not_hide_each_other() -> None:
    assert unique_names(["n", "n", "n_1", "n"]) == ["n", "n_1", "n_1_1", "n_2"]


def test_reading_makes_no_store(tmp_path: Path) -> None:
    assert execute(["runs", "--store", str(tmp_path / "none")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_runs_says_so(store_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ArtifactStore.open(store_path)
    assert "No runs yet" in answer_of(capfd, "runs", "--store", str(store_path))
