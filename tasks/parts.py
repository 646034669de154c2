"""Parts of one stage's work, done by several processes at once before the stage itself runs.

Each part has a lease of its own and leaves what it finished in the stage's shards; the stage then
finds everything finished, or does the rest, and writes the one artifact.
"""

from __future__ import annotations

PART = "part"
"""Option by which the child that does a part is told which, from 1."""

PARTS = "parts"
"""Option by which it is told how many there are."""

_MARK = ".part-"


def part_of_key(key: str, part: int, parts: int) -> str:
    """What a process leases that does one part of a stage's work."""
    return f"{key}{_MARK}{part}-of-{parts}"


def stage_key_of(leased_key: str) -> str:
    """The stage key behind what was leased, which may be a part of it."""
    return leased_key.partition(_MARK)[0]
