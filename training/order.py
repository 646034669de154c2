"""The order of examples that several ranks share: one process's, filled up to whole batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
        steps_done: How many steps were made by now, from which the epoch follows: who goes on from
            a checkpoint begins in the midst of one.
    """

    def __init__(
        self, num_examples: int, batch_size: int, seed: int, steps_done: Callable[[], int]
    ) -> None:
        self._num_examples = num_examples
        self._num_fillers = -num_examples % batch_size
        self._steps_per_epoch = (num_examples + self._num_fillers) // batch_size
        self._seed = seed
        self._steps_done = steps_done

    def __len__(self) -> int:
        return self._num_examples + self._num_fillers

    def __iter__(self) -> Iterator[int]:
        epoch = self._steps_done() // self._steps_per_epoch
        # The very numbers that accelerate's seeded sampler draws for one process.
        generator = torch.Generator().manual_seed(self._seed + epoch)
        yield from torch.randperm(self._num_examples, generator=generator).tolist()
        yield from [self._num_examples] * self._num_fillers
