"""Texts as sets of shingles: hashes of all runs of a few characters, for many texts at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SHINGLE_CHARS = 5
"""Characters of a shingle: shorter ones occur everywhere, longer ones break at each small change
of a question of ten words."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIXERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True, slots=True)
class Shingles:
    """Shingles of N texts.

    Attributes:
        hashes: (S,) hashes of all shingles, text by text; a text may hold one more than once.
        starts: (N,) where each text's begin; every text has at least one.
    """

    hashes: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]

    def of(self, index: int) -> frozenset[int]:
        """The set of one text."""
        last = index + 1 == len(self.starts)
        end = len(self.hashes) if last else int(self.starts[index + 1])
        return frozenset(self.hashes[int(self.starts[index]) : end].tolist())


def shingle(texts: Sequence[str]) -> Shingles:
    """Makes the shingles of texts; a space is put around each, so that its first words count too.

    Args:
        texts: (N,) texts, folded alike; N is at least 1.
    """
    padded = [f" {text} ".ljust(SHINGLE_CHARS) for text in texts]
    lengths = np.fromiter(map(len, padded), np.int64, len(padded))
    # A lone surrogate is a character like any other here.
    joined = "".join(padded).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(joined, dtype="<u4").astype(np.uint64)
    num_windows = len(codes) - SHINGLE_CHARS + 1
    hashes = np.zeros(num_windows, dtype=np.uint64)
    for offset in range(SHINGLE_CHARS):
        hashes = hashes * _MULTIPLIER + codes[offset : offset + num_windows]
    # Windows that reach from one text into the next belong to neither.
    ends = np.cumsum(lengths)
    across = ends[:-1, None] - np.arange(1, SHINGLE_CHARS)
    inside = np.ones(num_windows, dtype=bool)
    inside[across.ravel()] = False
    counts = lengths - SHINGLE_CHARS + 1
    return Shingles(_mixed(hashes[inside]), np.cumsum(counts) - counts)


def jaccard(first: frozenset[int], second: frozenset[int]) -> float:
    """Share of two sets' elements that are in both, from 0 to 1."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def _mixed(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spreads every bit over the whole word (the finaliser of splitmix64, Steele et al., 2014)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIXERS[0]
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIXERS[1]
    return hashes ^ (hashes >> np.uint64(31))
