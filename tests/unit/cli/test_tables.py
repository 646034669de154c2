"""The closing table and the commands to try next."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from deployments.cli.options import Settings
from deployments.cli.tables import next_commands, score_table


def entry(name: str, promoted: bool, **accuracies: float) -> dict[str, Any]:
    benchmarks = {benchmark: {"accuracy": value} for benchmark, value in accuracies.items()}
    average = sum(accuracies.values()) / len(accuracies)
    return {"name": name, "promoted": promoted, "benchmarks": benchmarks, "average": average}


def drawn(entries: list[dict[str, Any]], width: int = 120) -> list[list[str]]:
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    console.print(score_table(console, entries))
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
