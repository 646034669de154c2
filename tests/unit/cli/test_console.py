"""Progress on standard error, and one document on standard output."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console

from agents.progress import progress, set_progress
from deployments.cli import console as console_module
from deployments.cli.console import ConsoleProgress, duration, output


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (59.6, "1 min 00 s"), (7800, "2 h 10 min")],
)
def test_durations_read_as_people_write_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> tuple[ConsoleProgress, io.StringIO]:
    """A sink without a terminal that prints at each update."""
    monkeypatch.setattr(console_module, "_PLAIN_EVERY_S", 0.0)
    monkeypatch.setattr(console_module, "_WORTH_A_LINE_S", 0.0)
    stream = io.StringIO()
    return ConsoleProgress(Console(file=stream, width=200)), stream


def test_without_a_terminal_progress_is_plain_lines(
    plain: tuple[ConsoleProgress, io.StringIO],
) -> None:
    sink, stream = plain
    before = set_progress(sink)
    try:
        with progress("rollout", 8, "rollouts") as bar:
            bar.update(2, detail="answer")
            bar.update(8)
    finally:
        set_progress(before)
    first, second, last = stream.getvalue().splitlines()
    assert first.startswith("rollout: 2/8 rollouts, ")
    assert first.endswith(" left, answer")
    assert second.startswith("rollout: 8/8 rollouts, ")
    assert "took" in last
    assert "\x1b" not in stream.getvalue()


def test_bytes_are_shown_in_their_own_units(plain: tuple[ConsoleProgress, io.StringIO]) -> None:
    sink, stream = plain
    bar = sink.start("fetch model", 92_000_000, "bytes")
    sink.update(bar, 46_000_000)
    assert stream.getvalue().startswith("fetch model: 46.0 MB/92.0 MB, ")


def test_what_cannot_be_counted_is_only_timed(plain: tuple[ConsoleProgress, io.StringIO]) -> None:
    sink, stream = plain
    bar = sink.start("starting the server", None, "s")
    sink.finish(bar)
    assert re.fullmatch(r"starting the server: took \d\.\d s\n", stream.getvalue())


def test_text_that_looks_like_markup_is_shown_as_it_is(
    plain: tuple[ConsoleProgress, io.StringIO],
) -> None:
    sink, stream = plain
    bar = sink.start("read [/bold] page", None, "pages")
    sink.update(bar, 1, detail="[red]")
    assert "read [/bold] page: 1 pages" in stream.getvalue()
    assert stream.getvalue().rstrip().endswith("[red]")


def test_a_terminal_gets_bars_and_they_end() -> None:
    stream = io.StringIO()
    sink = ConsoleProgress(Console(file=stream, force_terminal=True, width=120))
    outer = sink.start("evolve", 2, "iterations")
    inner = sink.start("[rollout]", 4, "rollouts")
    sink.update(inner, 2, detail="answer")
    sink.finish(inner)
    sink.finish(outer)
    sink.finish(outer)
    assert "[rollout]" in stream.getvalue()
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1


def test_json_output_is_the_document_alone(capfd: pytest.CaptureFixture[str]) -> None:
    with output(as_json=True) as answer:
        print("a library's chatter")
        os.write(1, b"raw chatter\n")
        subprocess.run([sys.executable, "-c", "print('chatter of a child')"], check=True)
        answer({"run": "é", "wall_s": 1.5})
    captured = capfd.readouterr()
    assert json.loads(captured.out) == {"run": "é", "wall_s": 1.5}
    for chatter in ("a library's chatter", "raw chatter", "chatter of a child"):
        assert chatter in captured.err


def test_a_failed_command_prints_no_document(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with output(as_json=True) as answer:
            answer({"half": "done"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    print("standard output is back")
    assert capfd.readouterr().out == "standard output is back\n"


def test_without_json_the_document_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    with output(as_json=False) as answer:
        print("a table")
        answer({"run": "x"})
    assert capfd.readouterr().out == "a table\n"
