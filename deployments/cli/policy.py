"""Which policy `ask` talks to, and under which configuration it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from agents.errors import UsageError
from deployments.cli.options import Settings, store_exists

if TYPE_CHECKING:
    from flows.config import EvolutionConfig
    from tasks.artifacts import ArtifactStore
    from tasks.runs import RunRecord


@dataclass(frozen=True)
class ChosenPolicy:
    """A policy to talk to.

    Attributes:
        folder: Its model folder.
        digest: Digest of its weights; the base model's name where there is no digest yet.
        label: How a person would name it.
        config: The configuration to use it with.
        hint: What the person should know about the choice; empty where there is nothing.
    """

    folder: Path
    digest: str
    label: str
    config: EvolutionConfig
    hint: str = ""


def choose_policy(settings: Settings, named: str | None) -> ChosenPolicy:
    """Chooses the named policy, or the last promoted one of the store's newest run that has one.

    Without either, it is the base model of the configuration. The configuration is that of the
    policy's run unless a profile was named; `--set` applies on top of both.

    Raises:
        UsageError: The name means nothing, or there is no policy and the base model is one that
            only a run makes.
        AssetError: The base model could not be fetched.
    """
    config = settings.config()
    if store_exists(config.store.uri):
        from tasks.runs import RunLog

        store = settings.existing_store(config.store)
        records = RunLog(store.objects).runs()
        if named is not None:
            run = next((r for r in records if r.run == named.partition("/")[0]), None)
            return _stored(settings, store, named, run)
        for record in reversed(records):
            promoted = [entry for entry in record.policies if entry.promoted]
            if promoted:
                label = f"{record.run}/{promoted[-1].name}"
                return _stored(settings, store, record.run, record, label)
    if named is not None:
        if Path(named).expanduser().is_dir():
            return _local(config, named)
        raise UsageError(f"policy {named}: no such folder, and no store at {config.store.uri}")
    return _base(config)


def _stored(
    settings: Settings, store: ArtifactStore, name: str, run: RunRecord | None, label: str = ""
) -> ChosenPolicy:
    policy = store.resolve_policy(name)
    config = settings.config()
    if run is not None and settings.profile is None:
        config = config_of_run(run, settings)
    folder = Path(unquote(urlparse(policy.uri).path))
    return ChosenPolicy(folder, policy.digest, label or name, config)


def _local(config: EvolutionConfig, folder: str) -> ChosenPolicy:
    from agents.assets.model import ensure_model

    return ChosenPolicy(ensure_model(folder), folder, folder, config)


def _base(config: EvolutionConfig) -> ChosenPolicy:
    from agents.assets.model import ensure_model
    from tasks.config import TINY_MODEL

    if config.model == TINY_MODEL:
        raise UsageError("the tiny model is made by a run: evolvesearch run --profile smoke first")
    hint = "no run has promoted a policy yet, so this is the untrained base model: evolvesearch run"
    return ChosenPolicy(ensure_model(config.model), config.model, config.model, config, hint)


def config_of_run(record: RunRecord, settings: Settings) -> EvolutionConfig:
    """The configuration that a run recorded, with the settings of this command on top.

    Raises:
        UsageError: It was recorded by a version whose configuration differs.
    """
    from pydantic import ValidationError

    from flows.config import EvolutionConfig

    document = deepcopy(dict(record.config))
    given = settings.config().model_dump(mode="json")
    keys = [text.partition("=")[0].strip() for text in settings.overrides]
    for key in [*keys, "store"]:
        _copy(given, document, key.split("."))
    try:
        return EvolutionConfig.model_validate(document)
    except ValidationError as error:
        raise UsageError(
            f"run {record.run} was made with another version's configuration; name a --profile"
        ) from error


def _copy(source: Mapping[str, Any], target: dict[str, Any], path: list[str]) -> None:
    *sections, last = path
    for section in sections:
        source, target = source[section], target[section]
    target[last] = source[last]
