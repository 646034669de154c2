"""`evolvesearch doctor`: what this machine offers, and what is missing."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.text import Text

from deployments.cli.console import output, screen
from deployments.cli.options import Settings, shared_options
from deployments.cli.tables import plain_table

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command()
@shared_options
def doctor(settings: Settings) -> int:
    """Check this machine and what it is connected to, with a hint for whatever is missing.

    Cores, memory, disks, torch, GPU, Chromium, inputs, store, versions; and of Prefect, where a
    server is named: its version, pools and workers, zombies, the automation that ends them.

    Exit code 0: runs will work; 1: something is in the way, and the hint says what to do.

    \b
    Examples:
      evolvesearch doctor
      evolvesearch doctor --json
      evolvesearch doctor --set execution.mode=dispatch
    """
    from deployments.cli.checks import all_checks

    config = settings.config()
    with output(settings.json) as answer:
        checks = list(all_checks(config))
        healthy = all(check.status != "fail" for check in checks)
        answer({"ok": healthy, "checks": [asdict(check) for check in checks]})
    if not settings.json:
        table = plain_table()
        for heading in ("check", "", "found"):
            table.add_column(heading, overflow="fold")
        for check in checks:
            status = Text(check.status, style=_STYLES[check.status])
            found = f"{check.found}\n→ {check.hint}" if check.hint else check.found
            table.add_row(check.name, status, found)
        screen().print(table)
    return 0 if healthy else 1
