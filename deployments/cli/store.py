"""`evolvesearch runs`, `show` and `sql`: look into the store."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from agents.errors import UsageError
from deployments.cli.console import duration, output, screen
from deployments.cli.decisions import decision_lines
from deployments.cli.options import Settings, shared_options
from deployments.cli.rows import rows_view
from deployments.cli.tables import command, percent, plain_table, score_table, stage_table

_SHOWN_ROWS = 50
"""Rows of an SQL answer that a person is shown; --json, --csv and --parquet give all."""


@click.command()
@shared_options
def runs(settings: Settings) -> None:
    """List the runs of the store, the newest last.

    \b
    Examples:
      evolvesearch runs
      evolvesearch runs --store /data/store --json
    """
    config = settings.config()
    with output(settings.json) as answer:
        from deployments.cli.run_documents import summary_of
        from tasks.runs import RunLog

        store = settings.existing_store(config.store)
        rows = [summary_of(store, record) for record in RunLog(store.objects).runs()]
        answer(rows)
    if settings.json:
        return
    table = plain_table()
    for heading in ("run", "profile", "status", "started"):
        table.add_column(heading, overflow="fold")
    for heading in ("took", "base %", "last %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        averages = [entry["average"] for entry in row["policies"]] or [None]
        # The clock of this machine: the record's moment is in UTC.
        started = datetime.fromisoformat(row["started_at"]).astimezone().strftime("%d %b %H:%M")
        names = (row["run"], row["profile"], row["status"], started, duration(row["wall_s"]))
        table.add_row(*names, percent(averages[0]), percent(averages[-1]))
    console = screen()
    console.print(table if rows else "No runs yet: evolvesearch run")
    if rows:
        console.print(f"Next: {command(settings, 'show', rows[-1]['run'])}", soft_wrap=True)


@click.command()
@click.argument("run")
@shared_options
def show(settings: Settings, run: str) -> None:
    """Show a run: its stages, its trainings, the filter's funnel, the scores of its policies.

    RUN is a name from `evolvesearch runs`, or `last`.

    \b
    Examples:
      evolvesearch show last
      evolvesearch show smoke-1a2b3c4d --json
    """
    config = settings.config()
    with output(settings.json) as answer:
        from deployments.cli.run_documents import document_of, find_run
        from deployments.cli.training_table import training_table
        from tasks.runs import RunLog

        store = settings.existing_store(config.store)
        record = find_run(RunLog(store.objects).runs(), run)
        document = document_of(store, record)
        answer(document)
    if settings.json:
        return
    console = screen()
    head = f"Run {record.run}, profile {record.profile}: {record.status}"
    console.print(f"{head}, {duration(record.wall_s)}", style="bold")
    if record.error:
        console.print(f"error: {record.error}", style="red")
    console.print(stage_table(document["stages"]))
    if document["training"]:
        console.print(training_table(document["training"]))
    for trip in document["sentinels"]:
        console.print(f"Stopped at {trip['tripped_at']}: {trip['message']}", style="red")
    if document["funnel"]:
        table = plain_table("Filter: what became of the trajectories")
        for heading in ("iteration", "on", "verdict", "reason"):
            table.add_column(heading)
        table.add_column("trajectories", justify="right")
        for row in document["funnel"]:
            verdict = "kept" if row["kept"] else "dropped"
            count = f"{row['num_trajectories']:,}"
            place = (str(row["iteration"]), row["subject"])
            table.add_row(*place, verdict, row["reason"], count)
        console.print(table)
    if document["iterations"]:
        console.print(score_table(console, document["iterations"], document["comparison"]))
        for line in decision_lines(document["iterations"]):
            console.print(line)


@click.command()
@click.argument("query")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option(
    "--parquet",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the rows to a Parquet file, with their types.",
)
@shared_options
def sql(settings: Settings, query: str, as_csv: bool, parquet: Path | None) -> None:
    """Query the store with SQL; docs/schema.md lists the views and their columns.

    Views: questions, trajectories, turns, pages, page_views, rewards, verdicts, sft_examples,
    policies, answers, benchmarks, training_steps, runs, stages, artifacts, lineage. The dialect
    is DuckDB's. Only the files that a filter on run, iteration or artifact leaves are opened.

    \b
    Examples:
      evolvesearch sql "select stage, iteration, wall_s from stages order by 2, 1"
      evolvesearch sql "select reason, count(*) from verdicts group by all" --csv
      evolvesearch sql "select * from turns where run = 'demo'" --parquet turns.parquet
      evolvesearch sql "describe trajectories"
    """
    if as_csv and (settings.json or parquet):
        other = "--json" if settings.json else "--parquet"
        raise UsageError(f"--csv and {other}: expected one of them")
    config = settings.config()
    with output(settings.json) as answer:
        from tasks.catalog import Catalog

        with Catalog(settings.existing_store(config.store)) as catalog:
            result = catalog.query(query)
        names = unique_names(result.column_names)
        if parquet is not None:
            from tasks.tables import write_parquet_file

            write_parquet_file(result.rename_columns(names), parquet)
            written = {"file": str(parquet), "num_rows": result.num_rows, "columns": names}
            answer(written)
        else:
            rows = result.rename_columns(names).to_pylist()
            answer(rows)
    if parquet is not None:
        if not settings.json:
            screen().print(f"{_count(result.num_rows)} in {parquet}")
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(row.values() for row in rows)
    elif not settings.json:
        console = screen()
        console.print(rows_view(console, names, rows[:_SHOWN_ROWS]))
        more = f", the first {_SHOWN_ROWS} shown (--json, --csv, --parquet: all)"
        console.print(f"{_count(len(rows))}{more if len(rows) > _SHOWN_ROWS else ''}")


def _count(num_rows: int) -> str:
    return "1 row" if num_rows == 1 else f"{num_rows:,} rows"


def unique_names(names: Sequence[str]) -> list[str]:
    """Numbers columns of the same name (`count`, `count_1`), so that none hides another."""
    found: list[str] = []
    for name in names:
        number, free = 0, name
        while free in found:
            number += 1
            free = f"{name}_{number}"
        found.append(free)
    return found
