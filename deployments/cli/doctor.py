"""`evolvesearch doctor`: what this machine offers, and what is missing."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.console import Console
from rich.text import Text

from deployments.cli.console import output
from deployments.cli.options import Settings, shared_options
from deployments.cli.tables import plain_table

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command()
@shared_options
def doctor(settings: Settings) -> int:
    """Check this machine: cores, memory, disk, torch, GPU, Chromium, inputs, store, Prefect.

    Exit code 0: runs will work; 1: something is in the way, and the hint says what to do.

    \b
    Examples:
      evolvesearch doctor
      evolvesearch doctor --json
    """
    from deployments.cli.machine import all_checks

    config = settings.config()
    with output(settings.json) as answer:
        checks = list(all_checks(config))
        healthy = all(check.status != "fail" for check in checks)
        answer({"ok": healthy, "checks": [asdict(check) for check in checks]})
    if not settings.json:
        table = plain_table()
        for heading in ("check", "", "found", "what to do"):
            table.add_column(heading)
        for check in checks:
            status = Text(check.status, style=_STYLES[check.status])
            table.add_row(check.name, status, check.found, check.hint)
        Console(highlight=False, markup=False).print(table)
    return 0 if healthy else 1
