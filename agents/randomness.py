"""Seeds derived from what they are for, so that order and resumption never change them."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: str | int) -> int:
    """Derives a 63-bit seed from (run seed, iteration, question id, rollout index, …)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
