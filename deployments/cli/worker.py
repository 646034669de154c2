"""`evolvesearch worker`: workers for the pools of this machine, kept running."""

from __future__ import annotations

import os

import click

from agents.errors import UsageError


@click.command()
@click.argument("pools", nargs=-1, metavar="[POOL]...")
@click.option(
    "--server", metavar="URL", help="The server  [default: $PREFECT_API_URL, else this machine's]"
)
@click.option(
    "--gpus",
    metavar="LIST",
    help="Accelerators that the jobs see, such as 0 or 0,1  [default: as the environment says]",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Jobs of each worker at once  [default: no limit]",
)
@click.option("--debug", is_flag=True, help="Show tracebacks and all logs.")
def worker(
    pools: tuple[str, ...], server: str | None, gpus: str | None, limit: int | None, debug: bool
) -> int:
    """Start a worker for each POOL, and keep them running until Ctrl-C.

    POOL is control, cpu, rollout or train, for the pools that `evolvesearch deploy` makes, or any
    pool's name; without one it is control and cpu. A worker that ends, because its server was away
    for a minute, is started again. Ctrl-C ends the flow runs of the workers too; they are marked
    as crashed after 90 s, and the same run given again goes on from the store.

    \b
    Examples:
      evolvesearch worker
      evolvesearch worker rollout train --gpus 0 --limit 1
      evolvesearch worker rollout --server http://prefect.example.org:4200
    """
    from deployments.prefect.connection import api_url, connection
    from deployments.prefect.pools import ROLES, usual_name
    from deployments.prefect.workers import (
        check_pools,
        run_workers,
        worker_command,
        worker_environment,
    )

    asked = pools or ("control", "cpu")
    if twice := {name for name in asked if asked.count(name) > 1}:
        raise UsageError(f"pool {sorted(twice)[0]!r} is named twice")
    names = [usual_name(name) if name in ROLES else name for name in asked]
    with connection(server) as client:
        check_pools(client, names)
        url = api_url(server)
    click.echo(f"workers of {', '.join(names)} at {url}; Ctrl-C ends them", err=True)
    return run_workers(
        {name: worker_command(name, limit) for name in names},
        worker_environment(os.environ, url, gpus),
        lambda text: click.echo(text, err=True),
    )
