"""What `show` says of a run's trainings: the first and the last figures, and what stopped them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from deployments.cli.tables import plain_table
from tasks.artifacts import ArtifactStore
from tasks.runs import StageRecord
from tasks.training_steps import steps_of
from tasks.trips import TripLog

_FIGURES = {
    "loss": "loss",
    "grad_norm": "gradient",
    "reward_mean": "reward",
    "format_rate": "format",
    "entropy": "entropy",
    "tool_calls": "tool calls",
}
"""Columns of `training_steps` that are shown, with their headings."""


def training_rows(store: ArtifactStore, stages: Sequence[StageRecord]) -> list[dict[str, Any]]:
    """The trainings of a run, those at work included.

    Args:
        store: The store.
        stages: The run's stages.

    Returns:
        For each: iteration, stage, subject, `step` of `num_steps`, tokens a second over all
        steps, and the figures of the `first` and the `last` step.

    Raises:
        StoreError: A table of steps cannot be read.
    """
    rows = []
    for stage in stages:
        steps = steps_of(store, stage)
        if not steps:
            continue
        seconds = sum(step["wall_s"] for step in steps)
        tokens = sum(step["tokens"] for step in steps)
        rows.append(
            {
                "iteration": stage.iteration,
                "stage": stage.stage,
                "subject": stage.subject,
                "step": steps[-1]["step"],
                "num_steps": steps[-1]["num_steps"],
                "tokens_per_s": tokens / seconds if seconds else 0.0,
                "first": {name: steps[0][name] for name in _FIGURES},
                "last": {name: steps[-1][name] for name in _FIGURES},
            }
        )
    return rows


def trip_rows(store: ArtifactStore, run: str) -> list[dict[str, Any]]:
    """The sentinels that tripped in a run, in order; fields as in `sentinel_trips`."""
    return [asdict(trip) for trip in TripLog(store.objects).trips(run)]


def training_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A row a training: how far it is, and each figure from its first step to its last."""
    table = plain_table("Training, first step → last")
    for heading in ("iteration", "stage", "steps"):
        table.add_column(heading, no_wrap=True)
    shown = [name for name in _FIGURES if any(row["last"][name] is not None for row in rows)]
    for name in shown:
        table.add_column(_FIGURES[name], justify="right", no_wrap=True)
    table.add_column("tokens/s", justify="right", no_wrap=True)
    for row in rows:
        moves = [_move(row["first"][name], row["last"][name]) for name in shown]
        steps = f"{row['step']}/{row['num_steps']}"
        speed = f"{row['tokens_per_s']:,.0f}"
        table.add_row(str(row["iteration"]), row["stage"], steps, *moves, speed)
    return table


def _move(first: float | None, last: float | None) -> str:
    if first is None and last is None:
        return ""
    before, after = ("none" if value is None else f"{value:.3g}" for value in (first, last))
    return f"{before} → {after}"
