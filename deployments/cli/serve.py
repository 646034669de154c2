"""`evolvesearch serve`: the loop's deployments from one process, without work pools."""

from __future__ import annotations

import click

_USUAL = ("evolve/*", "sweep/*")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--server", metavar="URL", help="The server  [default: $PREFECT_API_URL, else this machine's]"
)
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a configuration key in all deployments, such as model=tiny.",
)
@click.option(
    "--store", metavar="URI", help="The store of all deployments; the same as --set store.uri=URI."
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=1, show_default=True, help="Runs at once."
)
@click.option("--debug", is_flag=True, help="Show tracebacks and all logs.")
def serve(
    names: tuple[str, ...],
    server: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    limit: int,
    debug: bool,
) -> None:
    """Serve deployments from this process, for a laptop: no pools and no workers.

    NAME is a deployment such as evolve/smoke, or a pattern; without one it is evolve/* and
    sweep/*. They can be started from the UI, by schedule and by `prefect deployment run` as long
    as this process lives; a store that is a folder lies in the current one.

    Deployments that are served leave their work pool; `evolvesearch deploy` takes them back.

    \b
    Examples:
      evolvesearch serve
      evolvesearch serve evolve/smoke --store /data/evolve
    """
    from deployments.prefect.automations import ensure_automation
    from deployments.prefect.connection import api_url, connection
    from deployments.prefect.installation import with_overrides
    from deployments.prefect.manifest import read_manifest
    from deployments.prefect.serving import matching, serve_deployments
    from flows.profiles import parse_settings

    settings = parse_settings([*overrides, *([f"store.uri={store}"] if store else [])])
    deployments = with_overrides(matching(read_manifest(), names or _USUAL), settings)
    with connection(server) as client:
        ensure_automation(client, dry_run=False)
        count = len(deployments)
        click.echo(f"serving {count} deployments at {api_url(server)}; Ctrl-C ends it", err=True)
        serve_deployments(deployments, limit)
