"""BrowseComp's encryption, which keeps its questions out of training data that is crawled.

Question and answer are base64 of the UTF-8 text, XORed with SHA-256 of the row's canary, repeated
(Wei et al., 2025; `browsecomp_eval.py` of openai/simple-evals). It is no secret: whoever reads the
set can undo it, and is asked never to publish it as plain text.
"""

from __future__ import annotations

import base64
import hashlib
from itertools import cycle


def decrypt(text: str, canary: str) -> str:
    """Decrypts one cell.

    Args:
        text: The encrypted cell.
        canary: The row's canary, the key.

    Raises:
        ValueError: The cell is not base64, or the canary is not its key.
    """
    key = hashlib.sha256(canary.encode()).digest()
    encrypted = base64.b64decode(text, validate=True)
    # zip stops with the text: the repeated key is longer.
    return bytes(a ^ b for a, b in zip(encrypted, cycle(key), strict=False)).decode("utf-8")
