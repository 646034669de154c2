"""What the gate decided on each iteration's candidate, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def decision_lines(iterations: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line an iteration: promoted or rolled back, why, and from which policy the run goes on.

    Args:
        iterations: Entries of a run's document, the base policy first.
    """
    lines, best = [], ""
    for entry in iterations:
        gate, name = entry["gate"], str(entry["name"])
        if gate is None:
            best = name if entry["promoted"] else best
            continue
        if entry["forced"]:
            verdict = "promoted by --force-promote, against the gate"
        elif entry["promoted"]:
            best, verdict = name, "promoted"
        elif gate["rule"]:
            verdict = f"rolled back to {best}"
        else:
            verdict = "no new policy"
        lines.append(f"{name[:1].upper()}{name[1:]}: {verdict}; {gate['reason']}.")
    return lines
