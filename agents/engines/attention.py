"""Attention over the paged pool: one new token for many sessions, or many for one.

Query heads that share a key/value head are multiplied together, as rows of one small matrix;
keys and values are never repeated (Ainslie et al. 2023, grouped-query attention). On a CPU this
reads the pool at the speed of memory, where scaled-dot-product attention with a mask does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.engines.cache import KeyValuePool, index_tensor


@dataclass(slots=True)
class DecodePlan:
    """What one decode step needs at every layer; built once a step.

    Attributes:
        positions: (N,) position of each row's new token.
        write_rows: Rows of the pool for the new keys and values of `write_index`.
        write_index: (M,) rows of the batch whose keys and values are kept, or None for all.
        slots: (N,) slot of each row, ascending.
        span: Slots that the pages are cut to, the last used one included.
        num_pages: Pages to read.
        layout: `dense` where rows are the slots [0, span), `scatter` where they are most of
            them, `gather` where they are few.
        bias: (rows, 1, pages * S) 0 where a row may look, -inf elsewhere.
    """

    positions: Tensor
    write_rows: Tensor
    write_index: Tensor | None
    slots: Tensor
    span: int
    num_pages: int
    layout: str
    bias: Tensor


def plan_decode(
    pool: KeyValuePool,
    slots: Sequence[int],
    lengths: Sequence[int],
    *,
    constant: bool = False,
) -> DecodePlan:
    """Plans a step in which each of `slots` gets one token at position `lengths`.

    Args:
        pool: The pool.
        slots: Slots that get a token, ascending.
        lengths: Tokens that each of them holds already.
        constant: All slots and pages take part, used or not, so that every step has one shape.
    """
    device, dtype = pool.keys.device, pool.keys.dtype
    slot_index, length_index = index_tensor(slots, device), index_tensor(lengths, device)
    span = pool.num_slots if constant else slots[-1] + 1
    num_pages = pool.num_pages if constant else pool.pages_for(max(lengths) + 1)
    pool.prepare(num_pages, span)
    write_rows = pool.rows(slot_index, length_index)
    write_index, positions, row_slots = None, length_index, slot_index
    if constant:
        write_index, row_slots = slot_index, torch.arange(span, device=device)
        positions = torch.zeros(span, dtype=torch.int64, device=device)
        positions[slot_index] = length_index
    layout = "dense" if constant or len(slots) == span else "scatter"
    if layout == "scatter" and 3 * len(slots) < span:
        layout = "gather"
    row_positions = positions
    if layout == "scatter":
        row_positions = torch.zeros(span, dtype=torch.int64, device=device)
        row_positions[slot_index] = length_index
    keys = torch.arange(num_pages * pool.page_tokens, device=device)
    bias = torch.zeros(len(row_positions), 1, len(keys), dtype=dtype, device=device)
    bias.masked_fill_(keys > row_positions[:, None, None], float("-inf"))
    return DecodePlan(positions, write_rows, write_index, row_slots, span, num_pages, layout, bias)


def decode_attention(query: Tensor, pool: KeyValuePool, layer: int, plan: DecodePlan) -> Tensor:
    """Attends with one token a row.

    Args:
        query: (N, H, D), already scaled and rotated.
        pool: The pool, the new keys and values written.
        layer: Number of the layer.
        plan: The step's plan.

    Returns:
        (N, H, D).
    """
    _, num_heads, head_dim = query.shape
    if plan.layout == "scatter":
        rows = query.new_zeros(plan.span, num_heads, head_dim)
        rows.index_copy_(0, plan.slots, query)
    else:
        rows = query
    group = num_heads // pool.num_heads
    grouped = rows.reshape(-1, group, head_dim)
    scores = [
        torch.bmm(grouped, _page(pool.keys[layer, page], plan).transpose(1, 2))
        for page in range(plan.num_pages)
    ]
    joined = torch.cat(scores, dim=-1) if len(scores) > 1 else scores[0]
    weights = torch.softmax(joined.view(len(rows), num_heads, -1).add_(plan.bias), dim=-1)
    pages = weights.view(len(grouped), group, plan.num_pages, pool.page_tokens).unbind(2)
    out = torch.bmm(pages[0], _page(pool.values[layer, 0], plan))
    for page in range(1, plan.num_pages):
        out = torch.baddbmm(out, pages[page], _page(pool.values[layer, page], plan))
    out = out.view(-1, num_heads, head_dim)
    return out[plan.slots] if plan.layout == "scatter" else out


def _page(block: Tensor, plan: DecodePlan) -> Tensor:
    """One page's (slots, heads, S, D) as a batch (rows * heads, S, D)."""
    chosen = block[plan.slots] if plan.layout == "gather" else block[: plan.span]
    return chosen.flatten(0, 1)


@dataclass(slots=True)
class PrefillSegment:
    """Consecutive new tokens of one session inside a packed batch.

    Attributes:
        slot: Its slot.
        start: Position of the first token.
        offset: Row of the first token in the packed batch.
        count: Number of rows, padding included.
        num_pages: Pages to read.
        bias: (group * count, keys) 0 where a row may look, -inf elsewhere.
    """

    slot: int
    start: int
    offset: int
    count: int
    num_pages: int
    bias: Tensor


def plan_segment(
    pool: KeyValuePool,
    slot: int,
    start: int,
    offset: int,
    count: int,
    group: int,
    *,
    constant: bool = False,
) -> PrefillSegment:
    """Plans `count` tokens of `slot` from position `start` on; see `PrefillSegment`."""
    num_pages = pool.num_pages if constant else pool.pages_for(start + count)
    num_keys = num_pages * pool.page_tokens if constant else start + count
    pool.prepare(num_pages, slot + 1)
    device = pool.keys.device
    rows = torch.arange(start, start + count, device=device)
    bias = torch.zeros(count, num_keys, dtype=pool.keys.dtype, device=device)
    bias.masked_fill_(torch.arange(num_keys, device=device) > rows[:, None], float("-inf"))
    return PrefillSegment(slot, start, offset, count, num_pages, bias.repeat(group, 1))


def prefill_attention(
    query: Tensor, pool: KeyValuePool, layer: int, segments: Sequence[PrefillSegment]
) -> Tensor:
    """Attends with the packed tokens of several sessions, each to its own session only.

    Args:
        query: (T, H, D), scaled and rotated.
        pool: The pool, the new keys and values written.
        layer: Number of the layer.
        segments: Whose tokens they are.

    Returns:
        (T, H, D).
    """
    out = torch.empty_like(query)
    _, num_heads, head_dim = query.shape
    group = num_heads // pool.num_heads
    for segment in segments:
        rows = slice(segment.offset, segment.offset + segment.count)
        keys, values = pool.read(layer, segment.slot, segment.num_pages)
        num_keys = segment.bias.shape[1]
        grouped = query[rows].view(segment.count, pool.num_heads, group, head_dim)
        attended = F.scaled_dot_product_attention(
            grouped.permute(1, 2, 0, 3).reshape(1, pool.num_heads, -1, head_dim),
            keys[None, :, :num_keys],
            values[None, :, :num_keys],
            attn_mask=segment.bias,
            scale=1.0,
        )
        attended = attended.view(pool.num_heads, group, segment.count, head_dim)
        out[rows] = attended.permute(2, 0, 1, 3).reshape(segment.count, num_heads, head_dim)
    return out
