"""How commands start, fail and end, through the entry point itself."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import click
import pytest

from agents.errors import ConfigError, StoppedError, StoreError
from deployments.cli import main
from deployments.cli.main import _COMMANDS, execute


def test_help_imports_nothing_that_takes_time() -> None:
    code = (
        "import sys\n"
        "from deployments.cli.main import execute\n"
        "assert execute(['--help']) == 0\n"
        "slow = {'torch', 'transformers', 'prefect', 'pydantic', 'pyarrow', 'duckdb', 'rich'}\n"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stderr.strip() == "[]"
    for name in _COMMANDS:
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: evolvesearch {name}" in text
    # Each example stands on a line of its own.
    assert f"\n    evolvesearch {name}" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], ["no such command 'rnu'", "'run'"]),
        (["run", "--porfile", "smoke"], ["--porfile", "evolvesearch run --help"]),
        (["run", "--profile", "lapptop"], ["unknown profile 'lapptop'", "laptop"]),
        (["run", "--set", "rl.num_step=3"], ["rl.num_step", "rl.num_steps"]),
        (["run", "--set", "iterations=-1"], ["iterations", "-1"]),
        (["run", "--set", "iterations"], ["KEY=VALUE"]),
        (["sql", "select 1", "--store", "/nonexistent/store"], ["no store", "/nonexistent/store"]),
        (["sql", "select 1", "--csv", "--json"], ["--csv", "--json"]),
        (["run", "--profile", ""], ["unknown profile ''", "smoke"]),
        (["run", "--profile", "none.toml"], ["none.toml", "No such file"]),
        (["run", "--store", ""], ["got an empty name"]),
        (["run", "--store", "ftp://host/x"], ["ftp://", "file://"]),
        (["run", "--name", "../up"], ["run name '../up'", "expected letters"]),
        (["run", "--name", ""], ["run name ''"]),
        (["run", "--redo", "rolout"], ["unknown stage 'rolout'", "rollout"]),
        (["run", "--set", "sft.learning_rate=inf"], ["sft.learning_rate", "finite"]),
        (["run", "--set", "rollout=1"], ["'rollout'", "a section of keys"]),
        (["run", "--set", "web.corpus=pages.jsonl"], ["web.corpus", "expected a list"]),
        (["ask", " "], ["empty question"]),
        (["ask", "x", "--policy", "none", "--store", "/nonexistent"], ["policy none", "no such"]),
        (["web", "serve", "--set", 'web.corpus=["/none.jsonl"]'], ["/none.jsonl", "web.corpus"]),
        (["web", "serve", "--port", "70000"], ["70000"]),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    for word in words:
        assert word in captured.err


@pytest.mark.parametrize("arguments", [[], ["web"]])
def test_a_missing_command_is_answered_with_the_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Usage: evolvesearch")
    assert "\nCommands:" in captured.err or "\nThe loop:" in captured.err


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (ConfigError("iterations: got -1"), 2, "error: iterations: got -1"),
        (StoreError("the disk\nis full"), 1, "error: the disk is full"),
        (StoppedError("the gate closed"), 3, "error: the gate closed"),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on from here"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/tmp/x"),
            1,
            "error: No space left on device (/tmp/x); free some space and give the same command",
        ),
        (ZeroDivisionError("by zero"), 1, "error: unexpected ZeroDivisionError: by zero"),
    ],
)
def test_every_ending_has_its_exit_code_and_one_line(
    raised: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command()
    @click.option("--debug", is_flag=True)
    def fails(debug: bool) -> None:
        raise raised

    monkeypatch.setattr(main._LazyGroup, "get_command", lambda *_: fails)
    monkeypatch.setitem(_COMMANDS, "fails", main._Command("", ""))
    assert execute(["fails"]) == code
    quiet = capsys.readouterr().err
    assert quiet.strip().startswith(line)
    assert "Traceback" not in quiet
    execute(["fails", "--debug"])
    assert "Traceback" in capsys.readouterr().err


def test_json_of_assets_is_one_document(capfd: pytest.CaptureFixture[str]) -> None:
    assert execute(["assets", "--list", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)
    assert {"name", "package", "version", "sha256", "licence", "fetched"} <= set(rows[0])


def test_shared_options_follow_a_commands_own(capsys: pytest.CaptureFixture[str]) -> None:
    execute(["run", "--help"])
    _, _, text = capsys.readouterr().out.partition("Options:")
    positions = [text.index(f"--{name}") for name in ("name", "no-reuse", "redo", "profile", "set")]
    assert positions == sorted(positions)
