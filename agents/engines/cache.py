"""Keys and values of many sessions in one pool, paged by position.

Page p holds positions [p * S, (p + 1) * S) of all slots: one contiguous block a layer. A decode
step then multiplies whole blocks without copying, repeating or gathering them, and memory is
committed only as far as conversations grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.engines.weights import DecoderShape


@dataclass(slots=True)
class ParkedKeysValues:
    """Keys and values of one session out of the pool: (2, layers, pages, heads, S, D)."""

    blocks: Tensor


class KeyValuePool:
    """The pool: `keys` and `values` are (layers, pages, slots, heads, S, D).

    Args:
        shape: Sizes of the decoder.
        num_slots: Sessions held at once.
        max_tokens: Most tokens of one session.
        page_tokens: S, positions of one page.
        dtype: Precision of keys and values.
        device: Where they lie.
    """

    def __init__(
        self,
        shape: DecoderShape,
        num_slots: int,
        max_tokens: int,
        page_tokens: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.num_slots = num_slots
        self.page_tokens = page_tokens
        self.num_pages = -(-max_tokens // page_tokens)
        self.num_heads = shape.num_kv_heads
        self._storage = torch.empty(
            2, shape.num_layers, self.num_pages, num_slots, self.num_heads, page_tokens,
            shape.head_dim, dtype=dtype, device=device,
        )  # fmt: skip
        self._cleared = [0] * self.num_pages
        self.keys, self.values = self._storage[0], self._storage[1]
        self._flat = self._storage.view(2, shape.num_layers, -1, shape.head_dim)
        self._heads = torch.arange(self.num_heads, device=device)

    def pages_for(self, num_tokens: int) -> int:
        """Pages that hold the first `num_tokens` positions."""
        return -(-num_tokens // self.page_tokens)

    def prepare(self, num_pages: int, num_slots: int) -> None:
        """Clears what is used for the first time: stale memory may hold NaN, and 0 * NaN is NaN."""
        for page in range(num_pages):
            done = self._cleared[page]
            if done < num_slots:
                self._storage[:, :, page, done:num_slots].zero_()
                self._cleared[page] = num_slots

    def rows(self, slots: Tensor, positions: Tensor) -> Tensor:
        """Rows of the flat pool for T tokens at (slot, position): (T * heads,)."""
        page = positions // self.page_tokens
        block = (page * self.num_slots + slots)[:, None] * self.num_heads + self._heads
        return (block * self.page_tokens + (positions % self.page_tokens)[:, None]).flatten()

    def write(self, layer: int, rows: Tensor, keys: Tensor, values: Tensor) -> None:
        """Stores keys and values (T * heads, D) of one layer at `rows`."""
        self._flat[0, layer].index_copy_(0, rows, keys)
        self._flat[1, layer].index_copy_(0, rows, values)

    def read(self, layer: int, slot: int, num_pages: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one slot's first pages: (heads, pages * S, D) each, copied."""
        blocks = self._storage[:, layer, :num_pages, slot].transpose(1, 2)
        keys, values = blocks.flatten(2, 3)
        return keys, values

    def copy_prefix(self, source: int, target: int, num_tokens: int) -> None:
        """Copies the first `num_tokens` positions of one slot to another."""
        pages = self.pages_for(num_tokens)
        self.prepare(pages, max(source, target) + 1)
        self._storage[:, :, :pages, target] = self._storage[:, :, :pages, source]

    def park(self, slot: int, num_tokens: int) -> ParkedKeysValues:
        """Takes a copy of a slot's first `num_tokens` positions."""
        return ParkedKeysValues(self._storage[:, :, : self.pages_for(num_tokens), slot].clone())

    def restore(self, slot: int, parked: ParkedKeysValues) -> None:
        """Puts a parked copy back, into any slot."""
        pages = parked.blocks.shape[2]
        self.prepare(pages, slot + 1)
        self._storage[:, :, :pages, slot] = parked.blocks


def index_tensor(numbers: Sequence[int], device: torch.device) -> Tensor:
    """A tensor of int64 indices on `device`."""
    return torch.tensor(numbers, dtype=torch.int64, device=device)
