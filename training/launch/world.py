"""What the ranks of a training do together, and what one process alone does instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class World:
    """The ranks of a training.

    Attributes:
        rank: Which one this is.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this rank speaks for all."""
        return self.rank == 0

    def sum(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Adds figures up by name; one that some ranks do not have counts as 0 there."""
        if self.size == 1:
            return dict(figures)
        all_figures: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(all_figures, dict(figures))
        total: dict[str, float] = {}
        for each in all_figures:
            for name, value in each.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def agree(self, value: T) -> T:
        """The main rank's value, on all ranks."""
        if self.size == 1:
            return value
        values: list[Any] = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        agreed: T = values[0]
        return agreed

    def any(self, value: bool) -> bool:
        """Whether it is true on any rank."""
        return self.sum({"any": float(value)})["any"] > 0.0

    def wait(self) -> None:
        """Returns once all ranks have come here."""
        if self.size > 1:
            torch.distributed.barrier()


ALONE = World()
"""One process, without any others."""
