"""Content encodings undone piece by piece, up to a limit: a bomb is never unpacked whole."""

from __future__ import annotations

import zlib

from agents.fetching.outcomes import PageRefused, TransientFailure

ACCEPTED = "gzip, deflate"
_GZIP_OR_ZLIB = 47
_RAW_DEFLATE = -15


class Unpacker:
    """Takes a body as it was sent, and keeps the first bytes of what it means.

    Args:
        encoding: The response's Content-Encoding.
        max_bytes: Most bytes kept.

    Raises:
        PageRefused: The encoding is one that we did not ask for.
    """

    def __init__(self, encoding: str, max_bytes: int) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise PageRefused(f"it is packed as {encoding!r}, expected {ACCEPTED}")
        self._packed = self._encoding not in ("", "identity")
        self._unpack = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._max_bytes = max_bytes
        self._begun = False
        self.body = bytearray()

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached; nothing more need be read."""
        return len(self.body) >= self._max_bytes

    def feed(self, piece: bytes) -> None:
        """Takes the next piece; what goes beyond the limit is dropped without being unpacked.

        Raises:
            TransientFailure: It is not packed as the server said.
        """
        left = self._max_bytes - len(self.body)
        if left <= 0:
            return
        self.body += self._unpacked(piece, left) if self._packed else piece[:left]

    def _unpacked(self, piece: bytes, most: int) -> bytes:
        if self._unpack.eof:
            return b""
        first, self._begun = not self._begun, True
        try:
            return self._unpack.decompress(piece, most)
        except zlib.error as error:
            if first and self._encoding == "deflate":
                # Many servers send the bare stream where the standard asks for zlib's.
                self._unpack = zlib.decompressobj(_RAW_DEFLATE)
                return self._unpacked(piece, most)
            raise TransientFailure(f"its {self._encoding} is damaged: {error}") from error
