"""Counts what fault tests put the program through, for the last line of a test run.

A test that killed processes or injected faults, and found that nothing was lost, says so with
`record_survived`; `pytest -m faults` then ends with a line as `survived: 49 kills, 480 faults`.
"""

from __future__ import annotations

from collections import Counter

SURVIVED: Counter[str] = Counter()
NOTES: list[str] = []


def record_survived(kind: str, count: int = 1) -> None:
    """Adds to a count, once the test's assertions have held.

    Args:
        kind: What was survived, in the plural (`kills`, `faults`).
        count: How many.
    """
    SURVIVED[kind] += count


def note(line: str) -> None:
    """Adds a line of its own to the end of the output, such as which server was tested against."""
    if line not in NOTES:
        NOTES.append(line)


def summary() -> list[str]:
    """The lines to print."""
    lines = list(NOTES)
    if SURVIVED:
        lines.append("survived: " + ", ".join(f"{n} {kind}" for kind, n in SURVIVED.items()))
    return lines
