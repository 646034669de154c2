"""`evolvesearch lineage`: what something in the store was made from, and what it led to."""

from __future__ import annotations

import click

from deployments.cli.console import output, screen
from deployments.cli.options import Settings, shared_options


@click.command()
@click.argument("ref")
@click.option("--all", "show_all", is_flag=True, help="Show every row of the tree.")
@shared_options
def lineage(settings: Settings, ref: str, show_all: bool) -> None:
    """Show what something was made from, down to page snapshots, and up to the scores it led to.

    REF is a score (RUN/ITERATION/BENCHMARK or DIGEST/BENCHMARK), a policy (RUN/ITERATION or
    the first digits of its digest), an artifact (STAGE_KEY/NAME or first digits), the id of a
    trajectory or a question, a page's digest or address, or an id from a lineage's JSON.

    \b
    Examples:
      evolvesearch lineage laptop-1a2b3c4d/1/more_hops
      evolvesearch lineage laptop-1a2b3c4d/cold-start --all
      evolvesearch lineage 3f9a01c2 --json
      evolvesearch lineage "http://wiki.local/Lyon_(city)"
    """
    config = settings.config()
    with output(settings.json) as answer:
        from tasks.catalog_index import open_index
        from tasks.lineage.refs import resolve_node
        from tasks.lineage.steps import lineage_down, lineage_up
        from tasks.lineage.store import LineageStore
        from tasks.lineage.tree import document

        store = settings.existing_store(config.store)
        known = LineageStore(store, open_index(store.objects))
        node, place = resolve_node(known, ref)
        down, up = lineage_down(known, node, place), lineage_up(known, node, place)
        answer(document(ref, down, up))
    if not settings.json:
        from deployments.cli.lineage_tree import lineage_trees

        console = screen()
        for tree in lineage_trees(down, up, shown=None if show_all else 3):
            console.print(tree)
