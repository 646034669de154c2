"""Pairs of texts that are nearly the same, found without comparing each with each.

MinHash (Broder, 1997): the smallest hash of a set is the same for two sets with a probability that
is their Jaccard similarity. Signatures of many such minima are cut into bands; pairs that agree in
a whole band (Indyk and Motwani, 1998) are candidates, and each candidate's similarity is then
computed exactly. So what is reported is right, and little is missed: at the threshold itself at
most one pair in 200, above it next to none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from evaluation.contamination.shingles import Shingles, jaccard, shingle

_NUM_HASHES = 128
_RECALL = 0.995
"""Least share of the pairs at the threshold that must become candidates."""
_AT_ONCE = 5_000
"""Texts that are worked on at once, which bounds the memory."""
_PAIRS_AT_ONCE = 100_000
_SEED = 0
_BAND = np.uint64(0x100000001B3)

Signatures = npt.NDArray[np.uint32]
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def near_pairs(
    texts: Sequence[str], others: Sequence[str], similarity: float
) -> Iterator[tuple[int, int, float]]:
    """Finds pairs of texts whose sets of shingles have at least a certain similarity.

    Args:
        texts: (N,) texts, folded alike; may be very many.
        others: (M,) texts to compare them with, folded alike.
        similarity: Least Jaccard similarity, above 0, at most 1.

    Yields:
        Index in `texts`, index in `others`, similarity.
    """
    if not texts or not others:
        return
    index = _Index(others, similarity)
    for start in range(0, len(texts), _AT_ONCE):
        for first, second, found in index.pairs(texts[start : start + _AT_ONCE]):
            yield start + first, second, found


def rows_of_a_band(similarity: float) -> int:
    """Minima in a band: as many as the recall at the threshold allows, for the fewest candidates.

    Args:
        similarity: The threshold.
    """
    rows = 1
    while _recall(similarity, rows + 1) >= _RECALL:
        rows += 1
        if rows == _NUM_HASHES:
            break
    return rows


def _recall(similarity: float, rows: int) -> float:
    num_bands = _NUM_HASHES // rows
    return float(1 - (1 - similarity**rows) ** num_bands) if num_bands else 0.0


def signatures_of(shingles: Shingles) -> Signatures:
    """MinHash signatures of texts, (N, number of hashes)."""
    random = np.random.default_rng(_SEED)
    multipliers = random.integers(0, 1 << 63, _NUM_HASHES, dtype=np.uint64) * np.uint64(2)
    columns = np.empty((_NUM_HASHES, len(shingles.starts)), dtype=np.uint32)
    for column, multiplier in zip(columns, multipliers + np.uint64(1), strict=True):
        hashed = (shingles.hashes * multiplier >> np.uint64(32)).astype(np.uint32)
        np.minimum.reduceat(hashed, shingles.starts, out=column)
    return columns.T.copy()


def band_keys(signatures: Signatures, num_rows: int) -> Iterator[npt.NDArray[np.uint64]]:
    """One key a text for each band; texts that share a band's key are candidates.

    Args:
        signatures: (N, number of hashes).
        num_rows: Minima in a band.

    Yields:
        (N,) keys of the next band.
    """
    for start in range(0, _NUM_HASHES - num_rows + 1, num_rows):
        keys = np.zeros(len(signatures), dtype=np.uint64)
        for column in range(start, start + num_rows):
            keys = (keys ^ signatures[:, column]) * _BAND
            keys ^= keys >> np.uint64(29)
        yield keys


class _Index:
    """Texts to compare others with, by the bands of their signatures."""

    def __init__(self, texts: Sequence[str], similarity: float) -> None:
        self._similarity = similarity
        self._rows = rows_of_a_band(similarity)
        self._shingles = shingle(texts)
        self._signatures = signatures_of(self._shingles)
        self._sets: dict[int, frozenset[int]] = {}
        self._bands = [
            (np.sort(keys), np.argsort(keys, kind="stable"))
            for keys in band_keys(self._signatures, self._rows)
        ]
        # Four standard deviations of the share of equal minima below the threshold.
        spread = (similarity * (1 - similarity) / _NUM_HASHES) ** 0.5
        self._least_agreement = similarity - 4 * spread

    def pairs(self, texts: Sequence[str]) -> Iterator[tuple[int, int, float]]:
        """Pairs of some texts with those of the index."""
        shingles = shingle(texts)
        signatures = signatures_of(shingles)
        for firsts, seconds in self._candidates(signatures):
            agreement = (signatures[firsts] == self._signatures[seconds]).mean(axis=1)
            likely = agreement >= self._least_agreement
            last, mine = -1, frozenset[int]()
            for first, second in zip(
                firsts[likely].tolist(), seconds[likely].tolist(), strict=True
            ):
                if first != last:
                    last, mine = first, shingles.of(first)
                if second not in self._sets:
                    self._sets[second] = self._shingles.of(second)
                found = jaccard(mine, self._sets[second])
                if found >= self._similarity:
                    yield first, second, found

    def _candidates(self, signatures: Signatures) -> Iterator[Pairs]:
        """Pairs that agree in some band, each once, in order and a bounded number at once."""
        size = len(self._signatures)
        codes: list[npt.NDArray[np.int64]] = []
        for keys, (known, order) in zip(
            band_keys(signatures, self._rows), self._bands, strict=True
        ):
            left = np.searchsorted(known, keys, side="left")
            counts = np.searchsorted(known, keys, side="right") - left
            firsts = np.repeat(np.arange(len(keys)), counts)
            # The n-th of a key's equals lies n behind the first of them.
            behind = np.arange(len(firsts)) - np.repeat(np.cumsum(counts) - counts, counts)
            seconds = order[np.repeat(left, counts) + behind]
            codes.append(np.unique(firsts * size + seconds))
        found = np.unique(np.concatenate(codes))
        for start in range(0, len(found), _PAIRS_AT_ONCE):
            part = found[start : start + _PAIRS_AT_ONCE]
            yield part // size, part % size
