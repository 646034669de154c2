"""Going on with a run from what its record holds: which settings may change, and which may not.

A setting that a stage's result depends on makes another run: stages that are done would be
computed again, under new keys. How a run is executed, watched and stored, and how long it goes on,
may change from one start to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from agents.errors import ConfigError, UsageError
from flows.config import EvolutionConfig
from flows.profiles import from_document
from tasks.runs import RunRecord

_FREE = frozenset(
    {"profile", "store", "sentinels", "execution", "iterations", "stop_after_failures"}
)
"""Keys that no stage's result depends on."""


def resumed_config(
    record: RunRecord, overrides: Sequence[str], store: Mapping[str, Any]
) -> EvolutionConfig:
    """The configuration to go on with.

    Args:
        record: The run's record.
        overrides: `KEY=VALUE` texts to apply on top of the configuration that it holds.
        store: Section `store` with which the record was found.

    Raises:
        ConfigError: A setting is unknown or out of bounds, or the record's configuration is that
            of another version.
        UsageError: A setting would make another run.
    """
    try:
        before = from_document(record.config)
    except ConfigError as error:
        raise ConfigError(
            f"run {record.run} was started by another version of this program: {error}; "
            f"start it with its settings instead: evolvesearch run --name {record.run}"
        ) from error
    config = from_document({**record.config, "store": store}, overrides)
    if others := _changes_that_matter(before, config):
        raise UsageError(
            f"run {record.run} cannot go on with {', '.join(others)}: results that it has depend "
            "on what is set there; start another run: evolvesearch run --name NAME --set …"
        )
    measured = max((entry.iteration for entry in record.policies), default=0)
    if config.iterations < measured:
        raise UsageError(
            f"iterations={config.iterations}: run {record.run} has finished {measured}; "
            f"expected {measured} or more"
        )
    return config


def _changes_that_matter(before: EvolutionConfig, after: EvolutionConfig) -> list[str]:
    """Settings that differ and that results depend on, as `key=value`."""
    first, second = dict(_that_matter(before)), dict(_that_matter(after))
    missing = object()
    return sorted(
        f"{key}={_plain(second.get(key))} (it has {_plain(first.get(key))})"
        for key in first.keys() | second.keys()
        if first.get(key, missing) != second.get(key, missing)
    )


def _that_matter(config: EvolutionConfig) -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values, those that no stage's key is made of left out."""
    for name in type(config).model_fields:
        if name in _FREE:
            continue
        section = getattr(config, name)
        if not isinstance(section, BaseModel):
            yield name, section
            continue
        values = getattr(section, "that_matters", None) or section.model_dump(mode="json")
        yield from _flat(values, f"{name}.")
    yield "web.cache_from", config.web.cache_from


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _plain(value: Any) -> str:
    return "none" if value is None else str(value)
