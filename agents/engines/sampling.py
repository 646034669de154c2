"""Sampling from logits, each row with its own random number, and exact logprobs.

A token is found by inverting the cumulative distribution in two steps, first over blocks of the
vocabulary, then inside one block: that is one pass over the logits, without sorting, without a
random number for every word, and without any influence of one row on another.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.engines.base import SamplingParams

BLOCK = 256
"""Words of one block."""


def random_stream(seed: int) -> random.Random:
    """A generation's own stream of uniform numbers; it depends on nothing but the seed."""
    return random.Random(seed)


def sample(
    logits: Tensor, sampling: Sequence[SamplingParams], uniforms: Sequence[float]
) -> tuple[list[int], list[float]]:
    """Samples one token a row.

    Args:
        logits: (N, V) in any precision.
        sampling: N parameters.
        uniforms: N numbers from [0, 1); ignored where the temperature is 0.

    Returns:
        N ids and N natural logprobs under the tempered distribution (at temperature 0 under the
        untempered one). With `top_p` below 1 the logprob is that before the cut.
    """
    device = logits.device
    greedy = [params.temperature == 0 for params in sampling]
    temperatures = [1.0 if params.temperature == 0 else params.temperature for params in sampling]
    scaled = logits.to(torch.float32, copy=True)
    if any(temperature != 1.0 for temperature in temperatures):
        scaled /= torch.tensor(temperatures, device=device)[:, None]
    ids = scaled.argmax(dim=-1) if any(greedy) else scaled.new_zeros(len(scaled)).long()
    best = scaled.amax(dim=-1, keepdim=True)
    masses = scaled.sub_(best).exp_()
    padding = -masses.shape[-1] % BLOCK
    padded = F.pad(masses, (0, padding)) if padding else masses
    blocks = padded.view(len(padded), -1, BLOCK)
    block_masses = blocks.sum(dim=-1).double()
    totals = block_masses.sum(dim=-1)
    if not all(greedy):
        points = torch.tensor(uniforms, dtype=torch.float64, device=device) * totals
        ids = torch.where(
            torch.tensor(greedy, device=device), ids, _invert(blocks, block_masses, points)
        )
        ids = ids.clamp_(max=masses.shape[-1] - 1)
    for row, params in enumerate(sampling):
        if params.top_p < 1 and not greedy[row]:
            ids[row] = _sample_nucleus(masses[row], params.top_p, uniforms[row])
    # Not the log of the mass, which is too small to be exact for a word that is hardly possible.
    drawn = logits.gather(1, ids[:, None]).to(torch.float32)
    if any(temperature != 1.0 for temperature in temperatures):
        drawn /= torch.tensor(temperatures, device=device)[:, None]
    logprobs = (drawn - best)[:, 0].double() - totals.log()
    return ids.tolist(), logprobs.tolist()


def _invert(blocks: Tensor, block_masses: Tensor, points: Tensor) -> Tensor:
    """The word (N,) in which each point (N,) of the cumulative mass falls."""
    ends = block_masses.cumsum(dim=-1)
    block = _first_above(ends, points)
    rows = torch.arange(len(points), device=points.device)
    rest = points - (ends[rows, block] - block_masses[rows, block])
    inner_ends = blocks[rows, block].double().cumsum(dim=-1)
    return block * BLOCK + _first_above(inner_ends, rest)


def _first_above(ends: Tensor, points: Tensor) -> Tensor:
    """First index of each row whose cumulative mass exceeds its point.

    Rounding may put a point at or past the end; it then belongs to the last word with any mass,
    which is the first index at which the whole mass is reached.
    """
    inside = torch.minimum(points, torch.nextafter(ends[:, -1], ends.new_zeros(())))
    return torch.searchsorted(ends, inside[:, None], right=True)[:, 0]


def _sample_nucleus(masses: Tensor, top_p: float, uniform: float) -> Tensor:
    """Samples from the smallest set of words whose mass reaches `top_p` (Holtzman et al. 2020)."""
    ordered, ids = masses.sort(descending=True, stable=True)
    ends = ordered.double().cumsum(dim=0)
    kept = int(torch.searchsorted(ends, top_p * ends[-1])) + 1
    ends = ends[:kept]
    return ids[_first_above(ends[None], (uniform * ends[-1])[None])[0]]
