"""`evolvesearch sweep`: the loop once for each point of a grid or list of settings, compared."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from agents.errors import UsageError
from deployments.cli.console import duration, output, screen
from deployments.cli.options import Settings, shared_options
from deployments.cli.sweep_tables import plan_table, sweep_table


@click.command()
@click.option(
    "--grid",
    "-g",
    "grids",
    metavar="KEY=V1,V2,…",
    multiple=True,
    help="Values to try of a configuration key; several keys are combined. Can be repeated.",
)
@click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file with a table [grid] (lists of values by key), and with settings by key in "
    "tables [[configs]], one a member.",
)
@click.option(
    "--name",
    metavar="N",
    default="sweep",
    show_default=True,
    help="Name of the sweep; the same name makes what is missing of it.",
)
@click.option(
    "--max-concurrent",
    metavar="K",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Members that run at once, where workers run them (execution.mode=dispatch).",
)
@click.option(
    "--deployment",
    metavar="D",
    help="Deployment of evolve that members are sent to, where workers run them  "
    "[default: evolve/laptop]",
)
@click.option("--dry-run", is_flag=True, help="Show the members and start nothing.")
@shared_options
def sweep(
    settings: Settings,
    grids: tuple[str, ...],
    file: Path | None,
    name: str,
    max_concurrent: int,
    deployment: str | None,
    dry_run: bool,
) -> int:
    """Run the loop once for each point of a grid or list of settings, and compare the runs.

    Each member is a run of its own, named after the sweep and its settings. Members that are done
    are taken from the store, so the same command goes on where a sweep was interrupted. A member
    that fails leaves the others alone; the exit code is 1 where any has failed.

    \b
    Examples:
      evolvesearch sweep --profile smoke --grid rl.learning_rate=1e-4,2e-4 --grid seed=0,1
      evolvesearch sweep --name rates --grid rl.learning_rate=1e-5,2e-5 --dry-run
      evolvesearch sweep --config variants.toml --set execution.mode=dispatch --max-concurrent 4
      evolvesearch show sweep-1a2b3c4d
    """
    config = settings.config()
    grid, configs = _of_file(file) if file else ({}, [])
    for text in grids:
        key, values = _grid_values(text)
        if key in grid:
            raise UsageError(f"--grid {key}: it is given twice")
        grid[key] = values
    with output(settings.json) as answer:
        if dry_run:
            from flows.sweep_members import sweep_members

            members = sweep_members(config, name, grid, configs)
            rows = [
                {"number": each.number, "run": each.run, "settings": dict(each.settings)}
                for each in members
            ]
            answer({"sweep": name, "members": rows})
        else:
            from flows.sweep import DEPLOYMENT, run_sweep

            document = run_sweep(
                config,
                grid,
                configs,
                name,
                max_concurrent=max_concurrent,
                deployment=deployment or DEPLOYMENT,
                verbose=settings.debug,
            )
            answer(document)
    if dry_run:
        if not settings.json:
            screen().print(plan_table(rows))
        return 0
    if not settings.json:
        _show(document)
    return _tell_failed(document)


def _show(document: Mapping[str, Any]) -> None:
    console = screen()
    console.print(sweep_table(console, document["members"]))
    if (best := document["best"]) is not None:
        console.print(
            f"Best: {best['setting']}, policy {best['policy'][:12]} of run {best['run']}: "
            f"{best['reason']}",
            soft_wrap=True,
        )
    console.print(f"Sweep {document['sweep']}, {duration(document['wall_s'])}.")


def _tell_failed(document: Mapping[str, Any]) -> int:
    """Says on standard error which members failed; returns the exit code."""
    for row in document["members"]:
        if row["status"] == "failed":
            click.echo(f"failed: {row['run']}: {row['error']}", err=True)
    return 1 if document["failed"] else 0


def _grid_values(text: str) -> tuple[str, list[Any]]:
    """A key and its values: a list in TOML, or values separated by commas."""
    key, separator, written = text.partition("=")
    key, written = key.strip(), written.strip()
    if not separator or not key or not written:
        raise UsageError(f"--grid {text!r}: expected KEY=V1,V2, such as rl.num_steps=5,10")
    if written.startswith("["):
        try:
            return key, list(tomllib.loads(f"values = {written}")["values"])
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"--grid {text!r}: its list is not valid TOML: {error}") from error
    return key, [value.strip() for value in written.split(",")]


def _of_file(file: Path) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    """The grid and the list of a TOML file, keys dotted."""
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"--config {file}: {error}") from error
    unknown = sorted(document.keys() - {"grid", "configs"})
    if unknown:
        raise UsageError(f"--config {file}: unknown key {unknown[0]!r}; expected grid or configs")
    grid, configs = document.get("grid", {}), document.get("configs", [])
    if not isinstance(grid, dict) or not _are_tables(configs):
        raise UsageError(f"--config {file}: expected a table [grid] and tables [[configs]]")
    return _dotted(grid), [_dotted(each) for each in configs]


def _are_tables(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(each, dict) for each in value)


def _dotted(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A table's values by dotted key, whether it was written in sections or with dots."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= _dotted(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
