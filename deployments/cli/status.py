"""`evolvesearch status`: which runs are unfinished and where they stand, and Prefect's pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.console import Console

from deployments.cli.console import duration, output, screen
from deployments.cli.options import Settings, shared_options
from deployments.cli.tables import command, plain_table

if TYPE_CHECKING:
    from deployments.prefect.state import PrefectState
    from tasks.run_status import RunStatus


@click.command()
@shared_options
def status(settings: Settings) -> int:
    """Show the runs that are not done: state, iteration, stage, since when, and who works on them.

    `running`: a living process works on it. `interrupted`: that process was killed. `failed` and
    `stopped`: it ended by itself. `evolvesearch resume RUN` goes on with all but the first.

    Where a Prefect server is named (PREFECT_API_URL, or Prefect's profile), its pools are shown,
    too: workers online, runs that wait for one, and zombies, which are runs without a heartbeat.
    Exit code 1: that server does not answer.

    \b
    Examples:
      evolvesearch status
      evolvesearch status --store s3://bucket/store --json
    """
    config = settings.config()
    with output(settings.json) as answer:
        from deployments.prefect.state import ServerError, named_server, read_prefect
        from tasks.run_status import unfinished_runs

        store = settings.existing_store(config.store)
        runs = unfinished_runs(store.objects)
        prefect, problem = None, None
        if api_url := named_server():
            try:
                prefect = read_prefect(api_url)
            except ServerError as error:
                problem = str(error)
        found = {"error": problem} if prefect is None else asdict(prefect)
        answer({"runs": [asdict(run) for run in runs], "prefect": found if api_url else None})
    if not settings.json:
        console = screen()
        _show_runs(console, settings, runs)
        if prefect is not None:
            _show_prefect(console, prefect)
        if problem:
            click.echo(f"error: {problem}", err=True)
    return 1 if problem else 0


def _show_runs(console: Console, settings: Settings, runs: Sequence[RunStatus]) -> None:
    if not runs:
        console.print("No unfinished runs: evolvesearch runs lists them all")
        return
    table = plain_table("Unfinished runs")
    for heading in ("run", "state", "at", "since", "by"):
        table.add_column(heading, overflow="fold")
    for run in runs:
        which = run.subject or (str(run.iteration) if run.iteration else "")
        at = f"{run.stage.replace('_', ' ')} {which}".strip() or "its start"
        table.add_row(run.run, run.state, at, f"{_ago(run.since)} ago", _by(run))
    console.print(table)
    for run in runs:
        if run.error:
            console.print(f"{run.run}: {run.error}")
    if left := [run.run for run in runs if run.state != "running"]:
        console.print(f"Next: {command(settings, 'resume', left[-1])}", soft_wrap=True)


def _by(run: RunStatus) -> str:
    if run.owner is None:
        return "nobody"
    if run.owner.alive:
        return str(run.owner)
    return f"nobody; {run.owner} died"


def _ago(moment: str) -> str:
    return duration((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())


def _show_prefect(console: Console, prefect: PrefectState) -> None:
    table = plain_table(f"Pools of {prefect.api_url}, Prefect {prefect.server_version}")
    for heading in ("pool", "type", "workers online"):
        table.add_column(heading, overflow="fold")
    for heading in ("running", "late"):
        table.add_column(heading, justify="right")
    for pool in prefect.pools:
        workers = "paused" if pool.paused else ", ".join(pool.workers) or "none"
        table.add_row(pool.name, pool.type, workers, str(pool.running), str(pool.late))
    console.print(table if prefect.pools else f"No pools at {prefect.api_url}")
    for zombie in prefect.zombies:
        console.print(
            f"zombie: {zombie.name} in {zombie.pool} (since {_ago(zombie.started_at)}); "
            f"end it: prefect flow-run cancel {zombie.id}",
            soft_wrap=True,
        )
