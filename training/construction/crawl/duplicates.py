"""Texts that a crawl has kept already, the same or nearly so.

Equal texts are known by their digest. Near ones by MinHash signatures of their shingles, cut into
bands: candidates agree in a whole band, and count where their signatures agree in at least the
wanted share. That share estimates the Jaccard similarity (standard error 2.7% at 0.9, of 128
minima); texts are not kept for an exact comparison, so that memory stays flat.
"""

from __future__ import annotations

import hashlib
import sqlite3

import numpy as np

from evaluation.contamination.minhash import band_keys, rows_of_a_band, signatures_of
from evaluation.contamination.shingles import Shingles, shingle

_SCHEMA = """
create table texts (digest text primary key, url text not null, sketch blob not null) without rowid;
create table bands (key integer not null, digest text not null, primary key (key, digest))
without rowid;
"""
# A sample by value is the same in both of two texts, so their similarity is estimated as before.
_SAMPLED = np.uint64(4)
_LEAST_SAMPLE = 64


def text_digest(text: str) -> str:
    """SHA-256 of a text whose white space counts for nothing."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()


def sketch_of(text: str) -> bytes:
    """MinHash signature of a text; case and white space count for nothing."""
    shingles = shingle([" ".join(text.lower().split())])
    sampled = shingles.hashes[shingles.hashes % _SAMPLED == 0]
    if len(sampled) >= _LEAST_SAMPLE:
        shingles = Shingles(sampled, np.zeros(1, np.int64))
    signature: bytes = signatures_of(shingles)[0].tobytes()
    return signature


class KnownTexts:
    """Finds the page that has a text already.

    Args:
        database: Where the texts' digests and signatures are kept.
        similarity: Least similarity of a near duplicate.
    """

    def __init__(self, database: sqlite3.Connection, similarity: float) -> None:
        self._database = database
        self._similarity = similarity
        self._rows = rows_of_a_band(similarity)
        for statement in _SCHEMA.split(";"):
            database.execute(statement)

    def same(self, digest: str) -> str:
        """Address of the page that has exactly this text; empty where there is none."""
        row = self._database.execute("select url from texts where digest = ?", (digest,)).fetchone()
        return "" if row is None else str(row[0])

    def near(self, sketch: bytes) -> tuple[str, float]:
        """Address of the page whose text is nearest, and the similarity.

        Returns:
            An empty address where no text is near enough.
        """
        keys = self._keys(sketch)
        marks = ", ".join("?" * len(keys))
        rows = self._database.execute(
            "select distinct t.url, t.sketch from bands b join texts t using (digest) "  # noqa: S608
            f"where b.key in ({marks})",
            keys,
        )
        mine = np.frombuffer(sketch, np.uint32)
        best, nearest = 0.0, ""
        for url, other in rows:
            similarity = float((mine == np.frombuffer(other, np.uint32)).mean())
            best, nearest = max((best, nearest), (similarity, url))
        return (nearest, best) if best >= self._similarity else ("", best)

    def add(self, url: str, digest: str, sketch: bytes) -> None:
        """Adds the text of a kept page."""
        self._database.execute(
            "insert or ignore into texts values (?, ?, ?)", (digest, url, sketch)
        )
        self._database.executemany(
            "insert or ignore into bands values (?, ?)",
            [(key, digest) for key in self._keys(sketch)],
        )

    def _keys(self, sketch: bytes) -> list[int]:
        signature = np.frombuffer(sketch, np.uint32)[None, :]
        keys = band_keys(signature, self._rows)
        # Bands are told apart by their place; SQLite's integers have a sign.
        return [(int(key[0]) * 64 + band) % (1 << 63) for band, key in enumerate(keys)]
