"""The rollouts of one RL step as its trainer takes them, free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StepRows:
    """One step's rollouts, groups one after the other.

    Attributes:
        fields: Lists with a value for each rollout, as TRL asks them of a rollout function.
        figures: What the rollouts were like, for the step's report.
    """

    fields: Mapping[str, list[Any]]
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """How many rollouts there are."""
        return len(self.fields["prompt_ids"])

    def share(self, rank: int, size: int) -> dict[str, list[Any]]:
        """The fields of one rank's rollouts; shares are even and in order."""
        count = self.num_rows // size
        return {
            name: list(values[rank * count : (rank + 1) * count])
            for name, values in self.fields.items()
        }
