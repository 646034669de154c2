"""`evolvesearch verify`, `gc`, `archive` and `restore`: care for the store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.filesize import decimal

from agents.errors import UsageError
from deployments.cli.console import duration, output, screen
from deployments.cli.options import Settings, shared_options
from deployments.cli.rows import printable
from deployments.cli.tables import command, plain_table

if TYPE_CHECKING:
    from tasks.care.gc import Garbage

_SHOWN = 20
"""Things that a person is shown of a long list; --json gives all."""
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """Seconds of a span of time such as `24h`; plain numbers are seconds."""
    number, unit = (value[:-1], value[-1]) if value[-1:] in _UNITS_S else (value, "s")
    try:
        seconds = float(number) * _UNITS_S[unit]
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise click.BadParameter(f"{value!r} is no span of time; expected one such as 30m, 24h, 7d")
    return seconds


@click.command()
@click.option(
    "--quick", is_flag=True, help="Check every object's bytes, but do not recount tables' rows."
)
@shared_options
def verify(settings: Settings, quick: bool) -> int:
    """Recompute every digest of the store and name each damaged or missing object.

    Exit code 1 where there is one.

    \b
    Examples:
      evolvesearch verify
      evolvesearch verify --store /data/store --json
    """
    config = settings.config()
    with output(settings.json) as answer:
        from tasks.care.verification import verify_store

        store = settings.existing_store(config.store)
        found = verify_store(store, rows=not quick)
        answer({"store": store.uri, "ok": not found.problems, **asdict(found)})
    if not settings.json:
        console = screen()
        for problem in found.problems:
            line = f"{problem.path}: {problem.problem.removeprefix(f'{problem.path} ')}"
            console.print(printable(line), style="red", soft_wrap=True)
        state = f"{len(found.problems):,} damaged or missing" if found.problems else "all whole"
        console.print(
            f"{found.num_manifests:,} artifacts, {found.num_objects:,} objects, "
            f"{decimal(found.num_bytes)}: {state}"
        )
        if found.unnamed:
            more = f"{len(found.unnamed):,} objects that no manifest names"
            console.print(f"{more}: {command(settings, 'gc')}", soft_wrap=True)
    return 1 if found.problems else 0


@click.command()
@click.option("--drop", metavar="RUN", multiple=True, help="Give this run up; can be repeated.")
@click.option(
    "--grace",
    callback=_seconds,
    metavar="AGE",
    default="24h",
    show_default=True,
    help="Keep whatever is younger, such as 30m, 24h, 7d.",
)
@click.option("--delete", "--yes", "delete", is_flag=True, help="Do it; without, only say what.")
@shared_options
def gc(settings: Settings, drop: tuple[str, ...], grace: float, delete: bool) -> None:
    """Remove what no kept run refers to; says what that is, unless --delete is given.

    Everything that a run made or reused is kept, with all that it was made from. Nothing younger
    than the grace period goes, and while a run is alive no artifact does: it may be about to
    reuse it.

    \b
    Examples:
      evolvesearch gc
      evolvesearch gc --drop laptop-1a2b3c4d
      evolvesearch gc --drop laptop-1a2b3c4d --grace 1h --delete
    """
    config = settings.config()
    with output(settings.json) as answer:
        from tasks.care.gc import collect, plan_collection

        store = settings.existing_store(config.store)
        plan = plan_collection(store, drop, grace)
        if delete:
            collect(store, plan)
        answer(
            {
                "store": store.uri,
                "deleted": delete,
                "dropped": list(drop),
                "grace_s": grace,
                "num_bytes": plan.num_bytes,
                "kept_bytes": plan.kept_bytes,
                "live": plan.live,
                "garbage": [asdict(item) for item in plan.garbage],
                "deferred": [asdict(item) for item in plan.deferred],
                "num_young": len(plan.young),
            }
        )
    if settings.json:
        return
    console = screen()
    if plan.garbage:
        console.print(_garbage_table(plan.garbage))
    if plan.live:
        later = f"; {len(plan.deferred):,} artifacts wait until it has ended"
        console.print(f"Alive: {', '.join(plan.live)}{later if plan.deferred else ''}")
    if plan.young:
        console.print(f"{len(plan.young):,} objects kept: younger than {duration(grace)}")
    verb = "removed" if delete else "to remove"
    console.print(f"{decimal(plan.num_bytes)} {verb}, {decimal(plan.kept_bytes)} kept")
    if plan.garbage and not delete:
        words = [word for run in drop for word in ("--drop", run)]
        words += ["--grace", f"{grace:g}s"] if grace != _UNITS_S["d"] else []
        again = command(settings, "gc", *words, "--delete")
        console.print(f"Nothing was removed. Next: {again}", soft_wrap=True)


def _garbage_table(garbage: list[Garbage]) -> Any:
    table = plain_table("No kept run refers to")
    table.add_column("what", no_wrap=True)
    table.add_column("name", overflow="fold")
    table.add_column("of run", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    for item in sorted(garbage, key=lambda item: -item.num_bytes)[:_SHOWN]:
        table.add_row(item.what, printable(item.name), item.run, decimal(item.num_bytes))
    if len(garbage) > _SHOWN:
        rest = sum(i.num_bytes for i in sorted(garbage, key=lambda i: -i.num_bytes)[_SHOWN:])
        left = f"{len(garbage) - _SHOWN:,} more (--json: all)"
        table.add_row("…", left, "", decimal(rest))
    return table


@click.command()
@click.argument("run")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE where it is there already.")
@shared_options
def archive(settings: Settings, run: str, file: Path, force: bool) -> None:
    """Write a run, with everything that it refers to, into one file that `restore` takes in.

    Every object is checked on the way; the same run gives the same bytes.

    \b
    Examples:
      evolvesearch archive laptop-1a2b3c4d run.tar
      evolvesearch archive last run.tar --force --json
    """
    config = settings.config()
    with output(settings.json) as answer:
        from deployments.cli.run_documents import find_run
        from tasks.care.archive import archive_run
        from tasks.runs import RunLog

        store = settings.existing_store(config.store)
        name = find_run(RunLog(store.objects).runs(), run).run
        if not file.absolute().parent.is_dir():
            raise UsageError(f"{file}: its folder does not exist")
        contents = archive_run(store, name, file, replace=force)
        document = {
            "run": name,
            "file": str(file),
            "num_bytes": file.stat().st_size,
            "num_objects": len(contents.members),
            "num_artifacts": len(contents.digests),
        }
        answer(document)
    if not settings.json:
        counts = f"{document['num_artifacts']} artifacts, {document['num_objects']} objects"
        console = screen()
        console.print(f"Run {name}: {counts}, {decimal(file.stat().st_size)} in {file}")
        console.print("Next: evolvesearch restore " + f"{file} --store OTHER", soft_wrap=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@shared_options
def restore(settings: Settings, file: Path) -> None:
    """Take a run that `archive` wrote into the store; every object is checked on the way in.

    \b
    Examples:
      evolvesearch restore run.tar
      evolvesearch restore run.tar --store /data/other-store
    """
    config = settings.config()
    with output(settings.json) as answer:
        from tasks.artifacts import ArtifactStore
        from tasks.care.restore import restore_run

        if not file.is_file():
            raise UsageError(f"{file}: expected an archive, found no file")
        store = ArtifactStore.open(config.store)
        restored = restore_run(store, file)
        contents = restored.contents
        document = {
            "run": contents.run,
            "store": store.uri,
            "num_objects": len(contents.members),
            "num_new": restored.num_new,
            "num_artifacts": len(contents.digests),
            "num_bytes": contents.num_bytes,
        }
        answer(document)
    if not settings.json:
        counts = f"{document['num_artifacts']} artifacts, {document['num_objects']} objects"
        console = screen()
        console.print(f"Run {contents.run}: {counts}, {restored.num_new} of them new here")
        console.print(f"Next: {command(settings, 'show', contents.run)}", soft_wrap=True)
