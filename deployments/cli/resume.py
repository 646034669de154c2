"""`evolvesearch resume`: goes on with a run from the configuration that its record holds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from agents.errors import UsageError
from deployments.cli.options import Settings, shared_options

if TYPE_CHECKING:
    from flows.config import EvolutionConfig
    from tasks.artifacts import ArtifactStore


@click.command()
@click.argument("run")
@shared_options
def resume(settings: Settings, run: str) -> int:
    """Go on with RUN where it was stopped, with the settings it was started with.

    RUN is a name from `evolvesearch runs`, or `last`. Its settings are those of its record in the
    store: neither profile nor settings need be given again. --set changes what no result depends
    on: `iterations`, `stop_after_failures`, and the sections `store`, `sentinels` and `execution`.
    Anything else would make another run, and is refused. --profile only says where the store is.

    \b
    Examples:
      evolvesearch resume last
      evolvesearch resume laptop-1a2b3c4d --set iterations=4
      evolvesearch resume longer --store s3://bucket/store --json
    """
    from deployments.cli.run import run_and_show

    config, name = _configuration(settings, run)
    return run_and_show(settings, config, name)


def _configuration(settings: Settings, run: str) -> tuple[EvolutionConfig, str]:
    """The configuration to go on with, and the run's full name."""
    from deployments.cli.run_documents import find_run
    from flows.resumption import resumed_config
    from tasks.runs import RunLog

    of_store = tuple(filter(_is_of_store, settings.overrides))
    asked = replace(settings, overrides=of_store).config().store
    store = settings.existing_store(asked)
    record = find_run(RunLog(store.objects).runs(), run)
    overrides = [text for text in settings.overrides if text not in of_store]
    config = resumed_config(record, overrides, asked.model_dump(mode="json"))
    _check_is_free(store, record.run)
    if record.status == "done" and config.iterations <= record.config["iterations"]:
        raise UsageError(
            f"run {record.run} is done: `evolvesearch show {record.run}` shows it, and "
            f"--set iterations={record.config['iterations'] + 1} goes on from it"
        )
    return config, record.run


def _is_of_store(setting: str) -> bool:
    return setting.partition("=")[0].strip().partition(".")[0] == "store"


def _check_is_free(store: ArtifactStore, run: str) -> None:
    """Refuses a run that another process works on: two of them would only wait for each other."""
    from tasks.run_status import worker_on
    from tasks.runs import RunLog

    owner = worker_on(store.objects, run, RunLog(store.objects).stages(run))
    if owner is not None and owner.alive:
        raise UsageError(
            f"run {run} is at work: {owner}, seen at {owner.renewed_at}; "
            "`evolvesearch status` shows where it is"
        )
