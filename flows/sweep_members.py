"""The members of a sweep: a grid and a list of settings, made into checked configurations.

Importing this module does not load Prefect: the command line checks a sweep before it starts one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.errors import ConfigError, UsageError
from flows.config import EvolutionConfig
from flows.profiles import with_settings
from tasks.runs import RunLog
from tasks.sweep_rows import settings_text

Grid = Mapping[str, Sequence[Any]]
"""Values to try by dotted key; all combinations are made."""

_DIGITS = 8
"""Digits of a configuration's digest at the end of a default run name, and so of a member's."""


@dataclass(frozen=True)
class Member:
    """One run of a sweep.

    Attributes:
        number: Its place in the sweep, from 1.
        run: Name of its run: the sweep's, and a digest of its configuration. More values in a grid
            leave the names, and so the results, of the other members as they are.
        settings: What it sets, by dotted key.
        config: Its whole configuration.
    """

    number: int
    run: str
    settings: Mapping[str, Any]
    config: EvolutionConfig


def sweep_members(
    config: EvolutionConfig,
    name: str,
    grid: Grid | None,
    configs: Sequence[Mapping[str, Any]] | None,
) -> list[Member]:
    """The members of a sweep, in order: each of the list, at each point of the grid.

    Args:
        config: What all members share.
        name: Name of the sweep.
        grid: Values by dotted key; the last key varies fastest.
        configs: Settings by dotted key, a mapping a member.

    Raises:
        UsageError: The name can name no run, or there is nothing to vary.
        ConfigError: A key is unknown or set twice, a value is out of bounds, or two members would
            be the same run.
    """
    most = 80 - _DIGITS - 1
    if not RunLog.is_name(name) or len(name) > most:
        raise UsageError(
            f"sweep name {name!r}: expected letters, digits, '.', '_' and '-', at most {most}"
        )
    grid, listed = grid or {}, [dict(each) for each in configs or ()]
    if not grid and not listed:
        raise UsageError("a sweep needs something to vary: give a grid or a list of settings")
    for key, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ConfigError(f"grid key {key!r}: expected a list of values, got {values!r}")
        if any(key in each for each in listed):
            raise ConfigError(f"key {key!r} stands in the grid and in the list: keep one of them")
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    members: list[Member] = []
    numbers: dict[str, int] = {}
    for number, (own, point) in enumerate(itertools.product(listed or [{}], points), 1):
        settings = own | point
        made = with_settings(config, settings)
        run = f"{name}-{made.default_run_name[-_DIGITS:]}"
        if (twin := numbers.setdefault(run, number)) != number:
            raise ConfigError(
                f"members {twin} and {number} ({settings_text(settings)}) would be the same run: "
                "vary something that its results depend on"
            )
        read = {key: _as_read(made, key, value) for key, value in settings.items()}
        members.append(Member(number, run, read, made))
    return members


def _as_read(config: EvolutionConfig, key: str, value: Any) -> Any:
    """A setting's value as the configuration has it, which may have come as text."""
    found: Any = config
    for name in key.split("."):
        found = getattr(found, name, None)
    return found if isinstance(found, str | int | float) else value
