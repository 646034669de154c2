"""The tables that commands end with, and the commands to try next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from deployments.cli.console import UNBOUNDED, duration
from deployments.cli.options import Settings
from evaluation.summaries import headline

EXAMPLE_QUESTION = "What is the currency of the country where the city of Lyon is located?"
EXAMPLE_SQL = "select stage, iteration, wall_s from stages"


def plain_table(title: str = "") -> Table:
    """An empty table in the one look that all commands share."""
    return Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        # A title as long as it is, or it would be folded above a narrow table.
        min_width=len(title) or None,
    )


def fits(console: Console, table: Table) -> bool:
    """Whether a console is wide enough to show a table with no cell wrapped or cut."""
    unbounded = console.options.update(max_width=UNBOUNDED)
    return Measurement.get(console, unbounded, table).maximum <= console.width


def percent(fraction: float | None) -> str:
    """Writes a fraction as a percentage without its sign."""
    return "" if fraction is None else f"{100 * fraction:.1f}"


def score_table(
    console: Console,
    iterations: Sequence[Mapping[str, Any]],
    comparison: Mapping[str, Mapping[str, Any]] | None = None,
) -> Table:
    """Accuracy in percent: a row a benchmark, a column a policy from base to last, and the gain.

    Args:
        console: Where it is going to be shown; a narrow one gets short headings.
        iterations: Entries of a run's document, the base policy first.
        comparison: How the last policy differs from the first, by benchmark; gains that chance
            may explain are marked. None: nothing is known of it.
    """
    comparison, notes = comparison or {}, []
    if any(not row["significant"] for row in comparison.values()):
        notes.append("n.s.: not significant")
    table = _score_table([_heading(entry) for entry in iterations], iterations, comparison)
    if not fits(console, table):
        short = [_short_heading(entry) for entry in iterations]
        table = _score_table(short, iterations, comparison)
        if not all(entry["promoted"] for entry in iterations):
            notes.insert(0, "* not promoted")
    table.caption_justify = "left"
    table.caption = "; ".join(notes) or None
    return table


def _score_table(
    headings: Sequence[str],
    iterations: Sequence[Mapping[str, Any]],
    comparison: Mapping[str, Mapping[str, Any]],
) -> Table:
    table = plain_table("Accuracy on held-out questions, %")
    table.add_column("benchmark", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", min_width=5)
    table.add_column("gain", justify="right", no_wrap=True)
    names = list(dict.fromkeys(name for entry in iterations for name in entry["benchmarks"]))
    for name in names:
        scores = [headline(entry["benchmarks"].get(name, {})) for entry in iterations]
        table.add_row(name, *map(percent, scores), _gain(scores, comparison.get(name)))
    table.add_section()
    averages = [entry["average"] for entry in iterations]
    gain = _gain(averages, comparison.get("average"))
    table.add_row("average", *map(percent, averages), gain, style="bold")
    return table


def _heading(entry: Mapping[str, Any]) -> str:
    return str(entry["name"]) if entry["promoted"] else f"{entry['name']} (not promoted)"


def _short_heading(entry: Mapping[str, Any]) -> str:
    name = str(entry["name"]).replace("iteration ", "it. ")
    return name if entry["promoted"] else f"{name}*"


def _gain(scores: Sequence[float | None], comparison: Mapping[str, Any] | None) -> str:
    first, last = scores[0], scores[-1]
    if first is None or last is None:
        return ""
    mark = " n.s." if comparison and not comparison["significant"] else ""
    return f"{100 * (last - first):+.1f}{mark}"


def stage_table(stages: Sequence[Mapping[str, Any]]) -> Table:
    """A row a stage: what it worked on, how it ended, how long it took.

    Args:
        stages: Rows with `iteration, stage, subject, status, reused, wall_s, error`.
    """
    table = plain_table("Stages")
    for name in ("iteration", "stage", "on"):
        table.add_column(name, no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    for row in stages:
        status = "reused" if row["reused"] and row["status"] == "done" else str(row["status"])
        if row["error"]:
            status = f"{status}: {row['error']}"
        took = duration(row["wall_s"] or 0.0)
        table.add_row(str(row["iteration"]), row["stage"], row["subject"] or "", took, status)
    return table


def command(settings: Settings, *words: str) -> str:
    """Writes a command to copy, on the same store as this one."""
    store = [] if settings.store is None else ["--store", settings.store]
    return shlex.join(["evolvesearch", *words, *store])


def next_commands(settings: Settings, run: str) -> str:
    """The commands to try after a run."""
    return "\n".join(
        [
            "Next:",
            f"  {command(settings, 'ask', EXAMPLE_QUESTION)}",
            f"  {command(settings, 'show', run)}",
            f"  {command(settings, 'sql', EXAMPLE_SQL)}",
        ]
    )
