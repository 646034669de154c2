"""Rows of any shape stay readable, whatever the width they are shown at."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from deployments.cli.console import UNBOUNDED
from deployments.cli.rows import LONGEST_CELL, cell, printable, rows_view

DIGEST = "0123456789abcdef" * 4
STAGE = {
    "run": "laptop-1a2b3c4d",
    "stage": "benchmark",
    "wall_s": 12.337395060000006,
    "reused": False,
    "key": f"benchmark-{DIGEST[:32]}",
    "started_at": "2026-01-02T03:04:05.678+00:00",
    "error": None,
}


def drawn(width: int, *rows: dict[str, Any]) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False, markup=False)
    console.print(rows_view(console, list(rows[0]), rows))
    return [line.rstrip() for line in stream.getvalue().splitlines() if line.strip()]


def test_without_a_terminal_a_row_is_a_line_with_its_values_whole() -> None:
    _, _, first, second = drawn(UNBOUNDED, STAGE, {**STAGE, "error": "the disk\nis full"})
    for text in ("12.3374", "false", STAGE["key"], STAGE["started_at"]):
        assert text in first
    assert "the disk ⏎ is full" in second


def test_digests_and_moments_are_cut_only_where_the_table_would_not_fit() -> None:
    whole = max(map(len, drawn(UNBOUNDED, STAGE)))
    assert STAGE["key"] in drawn(whole + 4, STAGE)[2]
    cut = drawn(whole - 20, STAGE)
    assert len(cut) == 3
    assert "benchmark-0123456789ab…" in cut[2]
    assert "2026-01-02 03:04:05" in cut[2]


def test_a_narrow_terminal_gets_a_block_for_each_row() -> None:
    lines = drawn(60, STAGE, STAGE)
    assert [line.split()[:2] for line in lines if line.startswith("row ")] == [
        ["row", "1"],
        ["row", "2"],
    ]
    assert f"key         {STAGE['key']}" in lines
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("width", [30, 80, UNBOUNDED])
def test_nothing_is_an_answer_too(width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    console.print(rows_view(console, ["stage", "wall_s"], []))
    assert "wall_s" in stream.getvalue() or width < 40


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (0.4375, "0.4375"),
        (0.0, "0.0000"),
        (1e-5, "1e-05"),
        (float("nan"), "nan"),
        (1_000_000, "1000000"),
        (["a", "é"], '["a", "é"]'),
        ("[red]", "[red]"),
    ],
)
def test_values_read_as_people_write_them(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_long_value_is_cut_and_says_so() -> None:
    assert cell("x" * 1000) == "x" * LONGEST_CELL + "…"


def test_a_page_cannot_speak_to_the_terminal() -> None:
    text = printable("red \x1b[31m\ttab\nline\x9b")
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert text.splitlines()[1].startswith("line")
