"""Tables of one policy's scores, and of how two policies differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from deployments.cli.tables import fits, percent, plain_table

_RULES = "rules"
_Row = Mapping[str, Any]
_Show = Callable[[_Row], str]


def benchmark_table(
    console: Console, benchmarks: Mapping[str, _Row], protocol: Mapping[str, Any]
) -> Table:
    """One policy's scores: a row a benchmark; columns that say nothing new are left out.

    Args:
        console: Where it is going to be shown; a narrow one gets no tokens and seconds.
        benchmarks: Scores by benchmark, as in the document.
        protocol: How they were measured; empty for older records.
    """
    columns = _columns(list(benchmarks.values()), protocol)
    table = _table(columns, benchmarks, protocol)
    if fits(console, table):
        return table
    short = {heading: show for heading, show in columns.items() if heading not in ("tokens", "s")}
    return _table(short, benchmarks, protocol)


def _columns(rows: Sequence[_Row], protocol: Mapping[str, Any]) -> dict[str, _Show]:
    interval = f"{protocol.get('confidence', 0.95):.0%} interval"
    columns: dict[str, _Show] = {
        "questions": lambda row: str(row["num_questions"]),
        "EM": lambda row: percent(row["em"]),
        "F1": lambda row: percent(row["f1"]),
        "accuracy": lambda row: percent(row["accuracy"]),
        interval: lambda row: f"{percent(row['ci_low'])} – {percent(row['ci_high'])}",
    }
    if protocol.get("judge", _RULES) != _RULES:
        columns["MBE"] = lambda row: percent(row["mbe"])
        columns[f"{interval} "] = lambda row: (
            "" if row["mbe"] is None else f"{percent(row['mbe_low'])} – {percent(row['mbe_high'])}"
        )
        columns["unjudged"] = lambda row: str(row["unjudged"])
    k = max(row["k"] or 1 for row in rows)
    if k > 1:
        columns[f"pass@{k}"] = lambda row: percent(row["pass_at_k"])
        columns[f"cons@{k}"] = lambda row: percent(row["cons_at_k"])
    columns["calls"] = lambda row: _number(row["tool_calls"], 1)
    columns["tokens"] = lambda row: _number(row["tokens"], 0)
    columns["s"] = lambda row: _number(row["seconds"], 1)
    if any(row["cost"] for row in rows):
        columns["cost"] = lambda row: _number(row["cost"], 4)
    if any(row["failed"] for row in rows):
        columns["failed"] = lambda row: str(row["failed"] or "")
    return columns


def _table(
    columns: Mapping[str, _Show], benchmarks: Mapping[str, _Row], protocol: Mapping[str, Any]
) -> Table:
    table = plain_table("Scores, %")
    table.add_column("benchmark", no_wrap=True)
    for heading in columns:
        table.add_column(heading.strip(), justify="right")
    for name, row in benchmarks.items():
        table.add_row(name, *(show(row) for show in columns.values()))
    if (judge := protocol.get("judge", _RULES)) != _RULES:
        table.caption = f"MBE: marks of {judge}"
        table.caption_justify = "left"
    return table


def comparison_table(first: str, second: str, comparisons: Mapping[str, _Row]) -> Table:
    """How two sides differ: a row a benchmark, with what chance alone could explain marked.

    Args:
        first: Name of the first side.
        second: Name of the second side.
        comparisons: Comparisons by benchmark, as in the document.
    """
    table = plain_table("Right answers, %")
    table.add_column("benchmark", no_wrap=True)
    for heading in ("questions", first, second, "difference", "interval", "p", "p (Holm)", ""):
        table.add_column(heading, justify="right")
    for name, row in comparisons.items():
        table.add_row(
            name,
            str(row["num_questions"]),
            percent(row["first"]),
            percent(row["second"]),
            f"{100 * row['difference']:+.1f}",
            f"{100 * row['ci_low']:+.1f} to {100 * row['ci_high']:+.1f}",
            _chance(row["p_value"]),
            _chance(row["p_adjusted"]),
            "" if row["significant"] else "n.s.",
            style="bold" if name == "average" else "",
        )
    table.caption = "n.s.: not significant"
    table.caption_justify = "left"
    return table


def _chance(p_value: float) -> str:
    """A p-value with three digits; no chance is ever nothing."""
    return "<0.001" if p_value < 0.0005 else f"{p_value:.3f}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
