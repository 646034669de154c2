"""Runs' documents, compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def without_times(iterations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The iterations of a run's document without what depends on the machine's pace."""
    return [
        {
            **entry,
            "benchmarks": {
                name: {key: value for key, value in scores.items() if key != "seconds"}
                for name, scores in entry["benchmarks"].items()
            },
        }
        for entry in iterations
    ]
