"""Tables of a sweep's members: what they set, and what they came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from deployments.cli.console import duration
from deployments.cli.tables import fits, percent, plain_table
from evaluation.summaries import headline

_Row = Mapping[str, Any]


def plan_table(members: Sequence[_Row]) -> Table:
    """The members of a sweep that was not started."""
    table = plain_table("Members")
    table.add_column("", justify="right")
    for key in _keys(members):
        table.add_column(key, justify="right")
    table.add_column("run", no_wrap=True)
    for row in members:
        table.add_row(str(row["number"]), *_values(row, members), row["run"])
    return table


def sweep_table(console: Console, members: Sequence[_Row]) -> Table:
    """What the members came to: settings, average, difference to the first, gate, benchmarks.

    Args:
        console: Where it is going to be shown; a narrow one gets no benchmarks.
        members: Rows of a sweep's document.
    """
    names = list(dict.fromkeys(name for row in members for name in row["benchmarks"]))
    table = _table(members, names)
    return table if fits(console, table) else _table(members, [])


def _table(members: Sequence[_Row], benchmarks: Sequence[str]) -> Table:
    table = plain_table("Last promoted policies, accuracy in %")
    table.add_column("", justify="right")
    for key in _keys(members):
        table.add_column(key, justify="right")
    for heading in ("average", "interval", "to the first", "gate", *benchmarks):
        table.add_column(heading, justify="right")
    table.add_column("policy", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for row in members:
        table.add_row(
            str(row["number"]),
            *_values(row, members),
            percent(row["average"]),
            _interval(row),
            _difference(row["difference"]),
            percent(row["gate_accuracy"]),
            *(percent(headline(row["benchmarks"].get(name, {}))) for name in benchmarks),
            row["policy"][:12],
            duration(row["wall_s"]),
            "reused" if row["reused"] else row["status"],
        )
    if any(row["difference"] and not row["difference"]["significant"] for row in members):
        table.caption = "n.s.: not significant"
        table.caption_justify = "left"
    return table


def _keys(members: Sequence[_Row]) -> list[str]:
    return list(dict.fromkeys(key for row in members for key in row["settings"]))


def _values(row: _Row, members: Sequence[_Row]) -> list[str]:
    return [str(row["settings"].get(key, "")) for key in _keys(members)]


def _interval(row: _Row) -> str:
    if row["ci_low"] is None:
        return ""
    return f"{percent(row['ci_low'])} – {percent(row['ci_high'])}"


def _difference(found: _Row | None) -> str:
    if found is None:
        return ""
    return f"{100 * found['difference']:+.1f}{'' if found['significant'] else ' n.s.'}"
