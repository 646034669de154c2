"""The closing table and the commands to try next."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from deployments.cli.options import Settings
from deployments.cli.score_tables import benchmark_table, comparison_table
from deployments.cli.tables import next_commands, score_table


def entry(name: str, promoted: bool, **accuracies: float) -> dict[str, Any]:
    benchmarks = {benchmark: {"accuracy": value} for benchmark, value in accuracies.items()}
    average = sum(accuracies.values()) / len(accuracies)
    return {"name": name, "promoted": promoted, "benchmarks": benchmarks, "average": average}


def drawn(
    entries: list[dict[str, Any]],
    width: int = 120,
    comparison: dict[str, dict[str, Any]] | None = None,
) -> list[list[str]]:
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    console.print(score_table(console, entries, comparison))
    return [line.split() for line in stream.getvalue().splitlines() if line.split()]


def test_the_closing_table_goes_from_base_to_last_with_average_and_gain() -> None:
    rows = drawn(
        [
            entry("base", True, more_hops=0.0, unseen_kind=0.1),
            entry("cold start", True, more_hops=0.2, unseen_kind=0.3),
            entry("iteration 1", False, more_hops=0.25, unseen_kind=0.05),
        ]
    )
    assert ["more_hops", "0.0", "20.0", "25.0", "+25.0"] in rows
    assert ["unseen_kind", "10.0", "30.0", "5.0", "-5.0"] in rows
    assert ["average", "5.0", "25.0", "15.0", "+10.0"] in rows
    assert any("promoted)" in row for row in rows)


def test_where_a_judge_has_spoken_its_marks_are_shown() -> None:
    entries = [entry("base", True, a=0.0), entry("last", True, a=0.5)]
    entries[1]["benchmarks"]["a"] |= {"mbe": 0.75}
    assert ["a", "0.0", "75.0", "+75.0"] in drawn(entries)


def test_gains_that_chance_may_explain_are_marked() -> None:
    entries = [entry("base", True, a=0.0, b=0.1), entry("last", True, a=0.5, b=0.2)]
    tested = {name: {"significant": name == "a"} for name in ("a", "b", "average")}
    rows = drawn(entries, comparison=tested)
    assert ["a", "0.0", "50.0", "+50.0"] in rows
    assert ["b", "10.0", "20.0", "+10.0", "n.s."] in rows
    assert ["average", "5.0", "35.0", "+30.0", "n.s."] in rows
    assert ["n.s.:", "not", "significant"] in rows
    assert not any("n.s." in row for row in drawn(entries))


SCORE = {
    "num_questions": 4, "em": 0.25, "f1": 0.3, "accuracy": 0.5, "ci_low": 0.15, "ci_high": 0.85,
    "mbe": 0.5, "mbe_low": 0.15, "mbe_high": 0.85, "unjudged": 0, "num_answers": 4, "failed": 0,
    "k": 1, "pass_at_k": 0.5, "cons_at_k": 0.5, "tool_calls": 2.5, "tokens": 1200.0,
    "seconds": 3.25, "cost": 0.0,
}  # fmt: skip


def scores_shown(
    row: dict[str, Any], protocol: dict[str, Any], width: int = 160
) -> list[list[str]]:
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    console.print(benchmark_table(console, {"nq": SCORE | row}, protocol))
    return [line.split() for line in stream.getvalue().splitlines() if line.split()]


def test_scores_by_rule_need_no_second_column_for_the_judge() -> None:
    rows = scores_shown({}, {"judge": "rules", "confidence": 0.9})
    assert rows[1][5:8] == ["90%", "interval", "calls"]
    assert rows[-1] == [
        "nq",
        "4",
        "25.0",
        "30.0",
        "50.0",
        "15.0",
        "–",
        "85.0",
        "2.5",
        "1,200",
        "3.2",
    ]


def test_a_narrow_terminal_gets_every_number_that_it_gets_whole() -> None:
    rows = scores_shown({}, {"judge": "rules"}, width=64)
    assert " ".join(rows[-1]) == "nq 4 25.0 30.0 50.0 15.0 – 85.0 2.5"


def test_a_judge_attempts_and_failures_have_columns_where_there_are_some() -> None:
    row = {"mbe": None, "unjudged": 4, "k": 3, "cost": 0.0125, "failed": 2}
    rows = scores_shown(row, {"judge": "gpt/deepresearcher"})
    shown = "nq 4 25.0 30.0 50.0 15.0 – 85.0 4 50.0 50.0 2.5 1,200 3.2 0.0125 2"
    assert " ".join(rows[-2]) == shown
    assert {"MBE", "unjudged", "pass@3", "cons@3", "cost", "failed"} <= set(rows[1])
    assert rows[-1] == ["MBE:", "marks", "of", "gpt/deepresearcher"]


def test_scores_of_older_records_are_shown_as_far_as_they_go() -> None:
    known = {name: SCORE[name] for name in ("num_questions", "em", "f1", "accuracy")}
    missing = dict.fromkeys(SCORE.keys() - known.keys() - {"ci_low", "ci_high"})
    assert scores_shown(missing, {})[-1] == ["nq", "4", "25.0", "30.0", "50.0", "15.0", "–", "85.0"]


def test_a_benchmark_that_one_policy_lacks_stays_empty() -> None:
    rows = drawn([entry("base", True, a=0.5), entry("cold start", True, a=0.5, b=1.0)])
    assert ["b", "100.0"] in rows


def test_a_long_run_fits_a_narrow_terminal_with_every_number_whole() -> None:
    names = ["base", "cold start", *(f"iteration {n}" for n in range(1, 6))]
    rows = drawn([entry(name, name != "iteration 4", unseen_relation=1.0) for name in names], 80)
    assert ["unseen_relation", *["100.0"] * 7, "+0.0"] in rows
    assert ["*", "not", "promoted"] in rows
    assert any("4*" in row for row in rows)


def test_next_commands_name_the_same_store() -> None:
    settings = Settings(None, (), "/data/my store", json=False, debug=False)
    lines = next_commands(settings, "laptop-1").splitlines()
    assert "  evolvesearch show laptop-1 --store '/data/my store'" in lines
    assert all("--store '/data/my store'" in line for line in lines[1:])


def test_a_p_value_is_never_shown_as_nothing() -> None:
    row = {
        "num_questions": 168, "first": 0.363, "second": 0.565, "difference": 0.202,
        "ci_low": 0.137, "ci_high": 0.268, "p_value": 1e-7, "p_adjusted": 0.0031,
        "significant": True,
    }  # fmt: skip
    stream = io.StringIO()
    Console(file=stream, width=120).print(comparison_table("a", "b", {"average": row}))
    (shown,) = [line.split() for line in stream.getvalue().splitlines() if "average" in line]
    assert shown[-2:] == ["<0.001", "0.003"]
