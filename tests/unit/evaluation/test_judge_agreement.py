"""Agreement of judges: by hand, by another derivation, and the file that they are compared on."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import UsageError
from evaluation.judging.agreement import Confusion, cohens_kappa, compare_verdicts
from evaluation.judging.config import JudgeConfig
from evaluation.judging.labelled import load_labelled
from evaluation.judging.marks import JudgeItem
from evaluation.judging.opening import named_judge

Z = 1.959963984540054


def kappa_of(cells):
    """Cohen's kappa of a 2×2 table of shares, as he defines it."""
    table = np.reshape(cells, (2, 2)) / np.sum(cells)
    by_chance = float(table.sum(axis=1) @ table.sum(axis=0))
    return (np.trace(table) - by_chance) / (1 - by_chance)


def error_of(cells):
    """Its standard error by the delta method: gradient by differences, multinomial covariance."""
    n = sum(cells)
    shares = np.array(cells) / n
    steps = np.eye(4) * 1e-6
    gradient = np.array([(kappa_of(shares + s) - kappa_of(shares - s)) / 2e-6 for s in steps])
    variance = shares @ gradient**2 - (shares @ gradient) ** 2
    return math.sqrt(max(0.0, variance) / n)


def test_kappa_by_hand():
    """50 answers, 20 both right, 15 both wrong: 70% agree, 50% by chance, so 0.4 of the rest."""
    kappa, low, high = cohens_kappa(Confusion(20, 5, 10, 15))
    assert kappa == pytest.approx(0.4)
    assert (high - low) / 2 == pytest.approx(Z * 0.126996, rel=1e-5)


@given(st.tuples(*[st.integers(0, 60)] * 4))
def test_kappa_and_its_error_by_another_derivation(cells):
    found = cohens_kappa(Confusion(*cells))
    first, second = cells[0] + cells[1], cells[0] + cells[2]
    if first == second and first in (0, sum(cells)):
        assert found is None
        return
    kappa, low, high = found
    assert kappa == pytest.approx(kappa_of(cells), abs=1e-9)
    half = Z * error_of(cells)
    assert low == pytest.approx(max(-1, kappa - half), abs=1e-4)
    assert high == pytest.approx(min(1, kappa + half), abs=1e-4)


def test_what_one_of_them_left_unjudged_counts_nowhere_else():
    first = [True, True, False, False, None, None]
    second = [True, False, False, True, True, None]
    found = compare_verdicts(first, second)
    assert found.confusion == Confusion(1, 1, 1, 1)
    assert (found.num_unjudged, found.agreement, found.kappa) == (2, 0.5, 0.0)
    assert 0.0 < found.ci_low < 0.5 < found.ci_high < 1.0


def test_nothing_to_compare_and_nothing_beyond_chance():
    none = compare_verdicts([None, True], [True, None])
    assert (none.agreement, none.ci_low, none.ci_high, none.kappa) == (None, 0.0, 1.0, None)
    same = compare_verdicts([True] * 5, [True] * 5)
    assert (same.agreement, same.kappa) == (1.0, None)
    assert same.ci_low < 0.6
    with pytest.raises(ValueError, match="zip"):
        compare_verdicts([True], [True, False])


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


ROW = {"question": "Which?", "answers": ["Paris"], "predicted": "Lyon"}


def test_a_file_of_answers(tmp_path):
    labels = [True, False, "Correct", "incorrect", 1, 0, None, "yes"]
    rows = [{**ROW, "label": label, "note": "let be"} for label in labels]
    path = write(tmp_path / "a.jsonl", *rows, "", {**ROW, "answers": "Paris", "id": "x9"})
    found = load_labelled(path)
    assert [row.label for row in found] == [True, False, True, False, True, False, None, True, None]
    assert found[0].item.question_id == "answer 1"
    assert (found[-1].item.question_id, found[-1].item.answers) == ("x9", ("Paris",))
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({**ROW, "predicted": None}).encode())
    assert load_labelled(path)[0].item.predicted is None


def test_files_as_the_sql_command_writes_them(tmp_path):
    path, rows = tmp_path / "a.json", [ROW, {**ROW, "label": True, "id": 7}]
    path.write_text(json.dumps(rows, indent=2))
    table = pa.Table.from_pylist([{"label": None, "id": None, **row} for row in rows])
    pq.write_table(table, tmp_path / "a.parquet")
    for each in (path, tmp_path / "a.parquet"):
        found = load_labelled(each)
        assert [row.label for row in found] == [None, True]
        assert found[0].item == JudgeItem("answer 1", "Which?", ("Paris",), "Lyon")
        assert found[1].item.question_id == "7"


def test_files_that_are_none(tmp_path):
    with pytest.raises(UsageError, match=r"a\.jsonl holds no"):
        load_labelled(write(tmp_path / "a.jsonl", "", " "))
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe")
    for name, says in (("b.jsonl", "not UTF-8"), ("c.jsonl", "cannot read"), ("d.txt", "form")):
        with pytest.raises(UsageError, match=says):
            load_labelled(tmp_path / name)


def test_a_spreadsheet_with_labels(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("question,answers,predicted,label\nWhich?,Paris,,0\nWhich?,Paris,paris,1.0\n")
    found = load_labelled(path)
    assert [row.label for row in found] == [False, True]
    assert [row.item.predicted for row in found] == [None, "paris"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: expected an object, got list"),
        ({"question": "q", "answers": ["a"]}, "line 2: there is no 'predicted'"),
        ({**ROW, "question": " "}, "'question' is empty"),
        ({**ROW, "question": {}}, "expected a text, got {}"),
        ({**ROW, "answers": []}, "'answers' is empty"),
        ({**ROW, "answers": None}, "'answers' is empty"),
        ({**ROW, "predicted": ["a"]}, "expected a text, got ['a']"),
        ({**ROW, "label": "perhaps"}, "'label', got 'perhaps'"),
        ({**ROW, "label": 2}, "'label', got '2'"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, says):
    with pytest.raises(UsageError, match=r"a\.jsonl line 2") as error:
        load_labelled(write(tmp_path / "a.jsonl", ROW, row))
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("name", "kind", "prompt", "model"),
    [
        ("rules", "rules", "simpleqa", "base"),
        ("api", "api", "simpleqa", "base"),
        ("api:qwen2.5:7b", "api", "simpleqa", "qwen2.5:7b"),
        ("webdancer", "api", "webdancer", "base"),
        ("deepresearcher:org/m", "api", "deepresearcher", "org/m"),
    ],
)
def test_judges_by_name(name, kind, prompt, model):
    config = JudgeConfig(prompt="simpleqa", concurrency=3, api={"model": "base"})
    judge = named_judge(name, config)
    assert (judge.kind, judge.prompt, judge.api.model) == (kind, prompt, model)
    assert judge.concurrency == 3


@pytest.mark.parametrize("name", ["rule", "gpt-4o", "", ":m", "rules:m"])
def test_an_unknown_judge_is_a_usage_error(name):
    with pytest.raises(UsageError, match="unknown judge"):
        named_judge(name, JudgeConfig())


def test_a_judge_without_a_model_says_where_to_name_it():
    with pytest.raises(UsageError, match=r"simpleqa:MODEL, or set benchmark\.judge\.api\.model"):
        named_judge("simpleqa", JudgeConfig())
