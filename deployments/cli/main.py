"""The command line `evolvesearch`: its commands by name, and how any of them ends.

A command's module is imported when the command is called, so that `evolvesearch --help` loads
neither pydantic, nor Prefect, nor torch. `console.py` shows progress and prints the one JSON
document, `options.py` holds the options that commands share, `tables.py` draws the tables.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import click

from agents.errors import EvolveSearchError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it: 128 + SIGINT."""


@dataclass(frozen=True)
class _Command:
    target: str
    summary: str


_SECTIONS: dict[str, dict[str, _Command]] = {
    "The loop": {
        "run": _Command("run:run", "Run the self-evolution loop; resumes by itself."),
        "resume": _Command("resume:resume", "Go on with a run, from its record alone."),
        "status": _Command("status:status", "Show unfinished runs, and Prefect's pools."),
        "sweep": _Command("sweep:sweep", "Run it for every point of a grid, and compare."),
        "ask": _Command("ask:ask", "Ask one question and watch the search live."),
    },
    "One stage alone, on artifacts of the store": {
        "construct": _Command("stages:construct", "Build web, questions and base policy."),
        "closed-book": _Command(
            "stages:closed_book", "Find training questions that need no search."
        ),
        "cold-start": _Command("stages:cold_start", "Build trajectories from known chains."),
        "rollout": _Command("stages:rollout", "Sample trajectories of a policy."),
        "filter": _Command("stages:filter_", "Reward trajectories and keep the best."),
        "sft": _Command("stages:sft", "Fine-tune a policy on kept trajectories."),
        "rl": _Command("stages:rl", "Train a policy by reinforcement learning."),
        "benchmark": _Command("benchmark:benchmark", "Score a policy on the held-out benchmarks."),
    },
    "Scores": {
        "judge-agreement": _Command("judging:judge_agreement", "Compare judges with people."),
    },
    "The store": {
        "runs": _Command("store:runs", "List the runs of the store."),
        "show": _Command("store:show", "Show a run: stages, scores, filter funnel."),
        "compare": _Command("compare:compare", "Compare two policies on the same questions."),
        "curve": _Command("curve:curve", "Show how a training's figures moved, as a picture, too."),
        "contamination": _Command(
            "contamination:contamination", "Find test questions among the training questions."
        ),
        "sql": _Command("store:sql", "Query the store with SQL."),
        "lineage": _Command("lineage:lineage", "Show what something was made from and led to."),
        "verify": _Command("care:verify", "Recompute every digest of the store."),
        "gc": _Command("care:gc", "Remove what no kept run refers to."),
        "archive": _Command("care:archive", "Write a run into one file."),
        "restore": _Command("care:restore", "Take an archived run into the store."),
    },
    "A Prefect server and its workers": {
        "deploy": _Command("deploy:deploy", "Set up pools, deployments and the automation."),
        "worker": _Command("worker:worker", "Start workers that run what pools hand out."),
        "serve": _Command("serve:serve", "Serve the loop from one process, without pools."),
    },
    "This machine": {
        "assets": _Command("inputs:assets", "Fetch and verify the inputs."),
        "web": _Command("inputs:web", "Browse the offline web (`web serve`)."),
        "doctor": _Command("doctor:doctor", "Check what this machine offers."),
    },
}
_COMMANDS = {name: command for section in _SECTIONS.values() for name, command in section.items()}


class _LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports one command."""
        if (command := _COMMANDS.get(cmd_name)) is None:
            return None
        module, _, attribute = command.target.partition(":")
        return cast(
            "click.Command",
            getattr(importlib.import_module(f"deployments.cli.{module}"), attribute),
        )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command that was asked for, or names the one that may have been meant."""
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"no such command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands' summaries, section by section, without importing them."""
        for section, commands in _SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, row.summary) for name, row in commands.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="evolvesearch", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks and all logs.")
def cli() -> None:
    """Web-search agents that improve themselves, from one command.

    \b
    Examples:
      evolvesearch run --profile smoke
      evolvesearch ask "What is the capital of the country where Lyon is located?"
      evolvesearch sql "select stage, iteration, wall_s from stages"
    """


def execute(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code.

    0: done, a policy that the gate rolled back included; 1: failed; 2: bad usage or
    configuration; 3: stopped by a sentinel, a stop rule or a budget; 130: Ctrl-C.
    """
    debug = "--debug" in arguments
    try:
        code = cli.main(list(arguments), prog_name="evolvesearch", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except EvolveSearchError as error:
        return _fail(str(error), error.exit_code, debug)
    except click.exceptions.NoArgsIsHelpError as error:
        # No word was given where a command was expected: the help is the message.
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "evolvesearch"
        message = error.format_message().rstrip(".")
        return _fail(f"{message} (see {path} --help)", error.exit_code, debug)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code, debug)
    except (click.Abort, KeyboardInterrupt):
        return _fail("", INTERRUPTED, debug)
    except OSError as error:
        # What no layer below has put into words: most often a disk that is full.
        where = f" ({error.filename})" if error.filename else ""
        hint = "; free some space and give the same command again"
        full = hint if error.errno == errno.ENOSPC else " (--debug shows where)"
        return _fail(f"{error.strerror or error}{where}{full}", 1, debug)
    except Exception as error:
        kind = type(error).__name__
        return _fail(f"unexpected {kind}: {error} (--debug shows where)", 1, debug)


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    if code == INTERRUPTED:
        click.echo("stopped; the same command goes on from here", err=True)
    else:
        click.echo(f"error: {' '.join(message.split())}", err=True)
    return code


def main() -> None:
    """Entry point of the `evolvesearch` command."""
    sys.exit(execute(sys.argv[1:]))
