"""What a step of the set-up did, or in a rehearsal would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["pool", "deployment", "automation"]


@dataclass(frozen=True)
class Change:
    """One thing on the server.

    Attributes:
        kind: What it is.
        name: Its name, of a deployment `flow/name`.
        action: `unchanged` where it was found as it should be.
        fields: What was changed of something that was there.
    """

    kind: Kind
    name: str
    action: Literal["created", "updated", "unchanged"]
    fields: tuple[str, ...] = ()

    @classmethod
    def between(
        cls, kind: Kind, name: str, found: Mapping[str, Any], wanted: Mapping[str, Any]
    ) -> Change:
        """The change that makes what was found what is wanted, by the fields of `wanted`."""
        fields = tuple(sorted(key for key in wanted if found.get(key) != wanted[key]))
        return cls(kind, name, "updated" if fields else "unchanged", fields)
