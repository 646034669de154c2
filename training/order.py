"""The order of examples that several ranks share: one process's, filled up to whole batches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class EvenOrder(Sampler[int]):
    """Goes through all examples in a new order each epoch, then fills the last batch up.

    One process alone ends an epoch with a smaller batch. Ranks cannot: all make the same number of
    passes, and none may see an example twice.

    Args:
        num_examples: Examples; the index after the last is the filler.
        batch_size: Sequences of a step, all ranks together.
        seed: Seed of the order.
    """

    def __init__(self, num_examples: int, batch_size: int, seed: int) -> None:
        self._num_examples = num_examples
        self._num_fillers = -num_examples % batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch comes next, from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._num_examples + self._num_fillers

    def __iter__(self) -> Iterator[int]:
        # The very numbers that accelerate's seeded sampler draws for one process.
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        yield from torch.randperm(self._num_examples, generator=generator).tolist()
        yield from [self._num_examples] * self._num_fillers
