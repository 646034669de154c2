"""`evolvesearch deploy`: sets a Prefect server up with pools, deployments and the automation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from agents.errors import UsageError
from deployments.cli.console import output, screen
from deployments.cli.tables import plain_table
from deployments.prefect.changes import Change
from deployments.prefect.pools import ROLES, Pool, usual_name


@click.command()
@click.argument("parts", nargs=-1, metavar="[PART]...")
@click.option(
    "--server", metavar="URL", help="The server  [default: $PREFECT_API_URL, else this machine's]"
)
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The deployments  [default: prefect.yaml of the checkout]",
)
@click.option(
    "--pool",
    "names",
    metavar="ROLE=NAME",
    multiple=True,
    help="Another pool than evolve-ROLE; can be repeated.",
)
@click.option(
    "--type",
    "types",
    metavar="[ROLE=]TYPE",
    multiple=True,
    help="Type of the pools, or of one: process, docker, kubernetes, ecs, …  [default: process]",
)
@click.option(
    "--concurrency",
    metavar="ROLE=N",
    multiple=True,
    help="Jobs of a pool at once, such as train=1; can be repeated.",
)
@click.option(
    "--image",
    "images",
    metavar="[ROLE=]IMAGE",
    multiple=True,
    help="Image of the pools' jobs, or of one pool's.",
)
@click.option(
    "--workdir",
    metavar="DIR",
    help="Folder that jobs of process pools start in, the same on each of their hosts  "
    "[default: the current one]",
)
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a configuration key in all deployments, such as execution.mode=dispatch.",
)
@click.option(
    "--store", metavar="URI", help="The store of all deployments; the same as --set store.uri=URI."
)
@click.option("--dry-run", is_flag=True, help="Change nothing; tell what would be.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, nothing else.")
@click.option("--debug", is_flag=True, help="Show tracebacks and all logs.")
def deploy(
    parts: tuple[str, ...],
    server: str | None,
    file: Path | None,
    names: tuple[str, ...],
    types: tuple[str, ...],
    concurrency: tuple[str, ...],
    images: tuple[str, ...],
    workdir: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    dry_run: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Set a Prefect server up: work pools, deployments, and the automation that ends zombies.

    PART is pools, deployments or automations; without one all three are done. What is as it
    should be stays untouched, so the command can be given again at any time: after a change of
    prefect.yaml or of a profile, after a new commit. Schedules that were switched on stay on.

    Jobs of a process pool run in the environment of their worker and start in --workdir, where a
    store such as `evolvesearch-store` lies. Jobs in containers want a store of their own:
    --store s3://BUCKET/PREFIX.

    \b
    Examples:
      evolvesearch deploy
      evolvesearch deploy --dry-run
      evolvesearch deploy pools --concurrency train=1 --concurrency rollout=4
      evolvesearch deploy --set execution.mode=dispatch --store s3://bucket/evolve
      evolvesearch deploy --server http://prefect.example.org:4200 --type kubernetes \\
          --image evolvesearch:cuda --image control=evolvesearch:cpu --image cpu=evolvesearch:cpu
    """
    from deployments.prefect.connection import api_url, connection
    from deployments.prefect.installation import PARTS, install, lost_stores, with_overrides
    from deployments.prefect.manifest import FILE, read_manifest
    from flows.profiles import parse_settings

    if unknown := [part for part in parts if part not in PARTS]:
        raise UsageError(f"unknown part {unknown[0]!r}; expected {', '.join(PARTS)}")
    pools = pools_of(names, types, concurrency, images, workdir)
    settings = parse_settings([*overrides, *([f"store.uri={store}"] if store else [])])
    with output(as_json) as answer:
        deployments = with_overrides(read_manifest(file or FILE), settings)
        for warning in lost_stores(pools, deployments):
            click.echo(f"warning: {warning}", err=True)
        with connection(server) as client:
            url = api_url(server)
            changes = list(install(client, pools, deployments, parts or PARTS, dry_run=dry_run))
        answer({"server": url, "dry_run": dry_run, "changes": [asdict(each) for each in changes]})
    if not as_json:
        _show(changes, url, dry_run)


def pools_of(
    names: Sequence[str],
    types: Sequence[str],
    concurrency: Sequence[str],
    images: Sequence[str],
    workdir: str | None,
) -> list[Pool]:
    """The pools that the options ask for, one for each role.

    Raises:
        UsageError: One of the texts is not of the form that its option expects.
    """
    named, typed = _of_roles("--pool", names), _of_roles("--type", types)
    limits, imaged = _of_roles("--concurrency", concurrency), _of_roles("--image", images)
    pools = []
    for role in ROLES:
        kind = typed.get(role, "process")
        folder = str(Path(workdir or ".").resolve()) if kind == "process" else None
        pools.append(
            Pool(
                role=role,
                name=named.get(role, usual_name(role)),
                type=kind,
                concurrency=_number(role, limits[role]) if role in limits else None,
                image=imaged.get(role) if kind != "process" else None,
                working_dir=folder,
            )
        )
    return pools


def _of_roles(option: str, texts: Iterable[str]) -> Mapping[str, str]:
    """Values by role; a text without a role is meant for all, and one with it counts more."""
    for_all: dict[str, str] = {}
    of_role: dict[str, str] = {}
    for text in texts:
        role, separator, value = text.partition("=")
        if not separator and option in ("--type", "--image"):
            for_all = dict.fromkeys(ROLES, text)
        elif role not in ROLES or not value:
            raise UsageError(
                f"{option} {text!r}: expected ROLE=VALUE, with a ROLE of {', '.join(ROLES)}"
            )
        else:
            of_role[role] = value
    return {**for_all, **of_role}


def _number(role: str, text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise UsageError(f"--concurrency {role}={text}: expected a number of jobs, 1 or more")
    return int(text)


def _show(changes: Sequence[Change], url: str, dry_run: bool) -> None:
    console = screen()
    table = plain_table()
    for heading in ("", "name", "would be" if dry_run else "was"):
        table.add_column(heading)
    for change in changes:
        fields = f": {', '.join(change.fields)}" if change.fields else ""
        table.add_row(change.kind, change.name, f"{change.action}{fields}")
    console.print(table)
    changed = sum(change.action != "unchanged" for change in changes)
    if not changed:
        console.print(f"Nothing to change: all {len(changes)} are as they should be.")
    elif dry_run:
        console.print(f"{changed} of {len(changes)} would be changed.")
    else:
        console.print(f"Changed {changed} of {len(changes)}.")
    console.print(
        f"\nNext, with PREFECT_API_URL={url} in the environment:\n"
        "  evolvesearch worker control cpu       workers for runs and light stages\n"
        "  evolvesearch worker rollout train     workers for sampling and training\n"
        "  prefect deployment run evolve/smoke   a rehearsal\n"
    )
