"""Rows of any shape as people read them: one table where it fits, else a block for each row.

What is shown is made readable: long digests and moments are cut short only where the table would
not fit, floats are rounded to four decimals. `--json` and `--csv` give every value whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from deployments.cli.tables import fits, plain_table

LONGEST_CELL = 400
"""Characters of one value that a person is shown."""

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_NOT_PRINTABLE = "\N{REPLACEMENT CHARACTER}"
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:\+00:00|Z)?")


def printable(text: str) -> str:
    """A text without control characters, which a terminal would obey; line ends stay."""
    return _CONTROL.sub(lambda match: " " if match.group() in "\t\r" else _NOT_PRINTABLE, text)


def cell(value: Any) -> str:
    """Writes one value as people read it; None is empty."""
    match value:
        case None:
            text = ""
        case bool():
            text = "true" if value else "false"
        case float():
            # Four decimals keep a column aligned; what they would hide is written with a power.
            text = f"{value:.4f}" if value == 0 or 1e-4 <= abs(value) < 1e15 else f"{value:.4g}"
        case list() | tuple() | dict():
            text = json.dumps(value, ensure_ascii=False, default=str)
        case _:
            text = str(value)
    text = printable(text.strip())
    return text if len(text) <= LONGEST_CELL else text[:LONGEST_CELL].rstrip() + "…"


def rows_view(
    console: Console, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> RenderableType:
    """Lays rows out for the width of a console.

    Args:
        console: Where they are going to be shown.
        names: Names of the columns, in order.
        rows: The rows, each with all of these names.
    """
    cells = [[cell(row[name]) for name in names] for row in rows]
    numeric = [all(_is_number(row[name]) for row in rows) for name in names]
    for shortened in (False, True):
        shown = [[_one_line(_short(text) if shortened else text) for text in row] for row in cells]
        table = _table(names, shown, numeric)
        if fits(console, table):
            return table
    return _blocks(names, cells)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _short(text: str) -> str:
    if match := _MOMENT.fullmatch(text):
        return f"{match[1]} {match[2]}"
    return _DIGEST.sub(r"\1…", text)


def _one_line(text: str) -> str:
    return " ⏎ ".join(line.strip() for line in text.splitlines())


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> Table:
    table = plain_table()
    for name, right in zip(names, numeric, strict=True):
        table.add_column(Text(printable(name)), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _blocks(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Group:
    """A block for each row: a line a column, long values folded beside their name."""
    parts: list[RenderableType] = []
    for number, row in enumerate(rows, 1):
        block = Table.grid(padding=(0, 2))
        block.add_column(style="bold", overflow="fold", max_width=30)
        block.add_column(overflow="fold")
        for name, text in zip(names, row, strict=True):
            block.add_row(Text(printable(name)), Text(text))
        parts += [Rule(f"row {number}", align="left", style="dim"), block]
    return Group(*parts)
