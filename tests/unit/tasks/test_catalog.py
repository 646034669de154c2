"""The store in SQL: declared columns, right rows, reading only, errors in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from store_samples import question, trajectory

from agents.errors import StoreError, UsageError
from agents.trajectory import PageReading
from evaluation.gate import GateDecision
from tasks import schema_page
from tasks.artifacts import ArtifactStore
from tasks.catalog import Catalog
from tasks.rows import question_row, trajectory_of, trajectory_row
from tasks.runs import PolicyEntry, RunLog, RunRecord, StageRecord
from tasks.views import VIEWS


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "it's a=store [1]")


@pytest.fixture
def filled(store: ArtifactStore) -> ArtifactStore:
    asked = store.write_table(
        "questions", [question_row(question(f"q{i}")) for i in range(2)], stage_key="c", name="q"
    )
    rolled = store.write_table(
        "trajectories",
        [trajectory_row(trajectory(i, f"q{i % 2}", wall_s=i)) for i in range(4)],
        stage_key="r",
        name="rollouts",
        parents=[asked],
        run="demo",
        iteration=1,
    )
    # The same content under another key: one artifact, its rows not doubled.
    store.write_table(
        "trajectories",
        [trajectory_row(trajectory(i, f"q{i % 2}")) for i in range(4)],
        stage_key="r2",
        name="rollouts",
        run="other",
    )
    log = RunLog(store.objects)
    log.save_run(
        RunRecord("demo", "smoke", 7, "done", "t0", policies=(PolicyEntry("base", 0, "d", True),))
    )
    log.save_stage(StageRecord("demo", 1, "rollout", "r", "done", "", (rolled,), False, 2.5, "t1"))
    return store


def rows(store: ArtifactStore, sql: str) -> list[dict]:
    with Catalog(store) as catalog:
        return catalog.query(sql).to_pylist()


def columns(store: ArtifactStore) -> dict[str, list[tuple[str, str]]]:
    with Catalog(store) as catalog:
        described = {v.name: catalog.query(f"describe {v.name}").to_pylist() for v in VIEWS}
    return {n: [(c["column_name"], c["column_type"]) for c in d] for n, d in described.items()}


def test_an_empty_store_has_the_views_of_a_full_one(filled: ArtifactStore, tmp_path: Path) -> None:
    empty = columns(ArtifactStore.open(tmp_path / "empty"))
    assert columns(filled) == empty
    for view in VIEWS:
        assert [name for name, _ in empty[view.name]] == view.schema.names


def test_the_gates_decision_is_columns_of_a_runs_policies(filled: ArtifactStore) -> None:
    gate = GateDecision(False, "worse", "no_regression", 8, 0.5, 0.25, -0.25, -0.5, 0.0)
    entries = (
        PolicyEntry("base", 0, "d", True),
        PolicyEntry("iteration 1", 1, "e", True, forced=True, compared_with="d", gate=gate),
    )
    RunLog(filled.objects).save_run(
        RunRecord("gated", "smoke", 7, "done", "t1", policies=entries),
    )
    base, first = rows(filled, "select * from run_policies where run = 'gated' order by iteration")
    names = ("promoted", "forced", "compared_with", "reason", "rule", "gate_questions", "gain")
    assert [base[name] for name in names] == [True, False, "", None, None, None, None]
    values = [True, True, "d", "worse", "no_regression", 8, -0.25]
    assert [first[name] for name in names] == values
    assert (first["best_accuracy"], first["candidate_accuracy"]) == (0.5, 0.25)
    assert (first["gain_low"], first["gain_high"]) == (-0.5, 0.0)


def test_readings_are_rows_of_their_own(store: ArtifactStore) -> None:
    read = PageReading("page", "currency", "m", "prompt", "{}", 2, 90, 12, 0.5, "not JSON", turn=0)
    value = replace(trajectory(), readings=(read, replace(read, page="other", problem="")))
    assert trajectory_of(trajectory_row(value)) == value
    store.write_table("trajectories", [trajectory_row(value)], stage_key="r", name="t", run="r")
    sql = """select t.question_id, g.turn, g.page, g.model, g.num_attempts, g.cost, g.problem
             from readings g join trajectories t using (trajectory_id) order by g.page"""
    first, second = rows(store, sql)
    assert tuple(first.values()) == ("q0", 0, "other", "m", 2, 0.5, "")
    assert (second["page"], second["problem"]) == ("page", "not JSON")


def test_rows_carry_the_run_that_made_them_first(filled: ArtifactStore) -> None:
    sql = """select run, iteration, count(*) as n, sum(num_tokens) as tokens
             from trajectories group by all"""
    assert rows(filled, sql) == [{"run": "demo", "iteration": 1, "n": 4, "tokens": 24}]
    assert isinstance(rows(filled, sql)[0]["tokens"], int)


def test_turns_are_rows(filled: ArtifactStore) -> None:
    sql = """select question_id, "index", action, urls[1] as url from turns
             where trajectory_id = 'p-rollout-1-q0-0' order by "index" """
    assert rows(filled, sql) == [
        {"question_id": "q0", "index": 0, "action": "search", "url": "http://wiki.local/France"},
        {"question_id": "q0", "index": 1, "action": "answer", "url": None},
    ]


def test_tables_join(filled: ArtifactStore) -> None:
    sql = """select q.answers[1] as gold, count(*) as n from trajectories t
             join questions q using (question_id) group by all"""
    assert rows(filled, sql) == [{"gold": "euro", "n": 4}]


def test_records_and_lineage(filled: ArtifactStore) -> None:
    assert rows(filled, "select stage, iteration, wall_s from stages") == [
        {"stage": "rollout", "iteration": 1, "wall_s": 2.5}
    ]
    assert rows(filled, "select name, promoted from run_policies") == [
        {"name": "base", "promoted": True}
    ]
    sql = """select c.kind as child, p.kind as parent from lineage
             join artifacts c on c.artifact = child join artifacts p on p.artifact = parent
             where c.run = 'demo'"""
    assert rows(filled, sql) == [{"child": "trajectories", "parent": "questions"}]
    assert rows(filled, "select kind from stage_artifacts") == [{"kind": "trajectories"}]


@pytest.mark.parametrize(
    "sql",
    [
        "drop view questions",
        "insert into runs values ('x')",
        "copy (select 1) to '{root}/artifacts/x.csv'",
        "explain analyze copy (select 1) to '{root}/artifacts/x.csv'",
        "set enable_external_access = true",
        "select 1; select 2",
        "attach '{root}/artifacts/x.db'",
        "",
    ],
)
def test_only_reading_is_answered(filled: ArtifactStore, sql: str) -> None:
    before = filled.objects.paths("")
    with pytest.raises(UsageError, match=r"^query: [^\n]*$"):
        rows(filled, sql.format(root=str(filled.objects.root).replace("'", "''")))
    assert filled.objects.paths("") == before


def test_files_outside_the_store_cannot_be_read(filled: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    for sql in (
        f"select * from read_text('{tmp_path}/secret.txt')",
        f"select * from read_csv('{tmp_path}/secret.txt')",
        f"select * from '{tmp_path}/secret.txt'",
    ):
        with pytest.raises(UsageError, match="query: "):
            rows(filled, sql)


@pytest.mark.parametrize("sql", ["selec 1", "select * from questionz", "select nope from runs"])
def test_a_wrong_query_is_one_line(store: ArtifactStore, sql: str) -> None:
    with pytest.raises(UsageError, match=r"^query: [^\n]*$"):
        rows(store, sql)


def test_a_programs_variables_are_no_tables(store: ArtifactStore) -> None:
    secret = pa.table({"a": [1]})
    assert secret.num_rows == 1
    with pytest.raises(UsageError, match="secret"):
        rows(store, "select * from secret")


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_file_is_the_stores_error(filled: ArtifactStore, damage: str) -> None:
    path = filled.objects.path_of(
        next(p for p in filled.objects.paths("artifacts/trajectories") if p.endswith("parquet"))
    )
    path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(StoreError, match=r"^the store [^\n]*$"):
        rows(filled, "select count(*), max(wall_s) from trajectories")


def test_the_schema_page_is_that_of_the_code() -> None:
    page = Path(__file__).parents[3] / "docs" / "schema.md"
    assert page.read_text() == schema_page.render(), (
        "docs/schema.md is stale: run `python -m tasks.schema_page > docs/schema.md`"
    )
