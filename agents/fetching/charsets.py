"""Bytes of a page as text, whatever the server says of them."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

_META = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([a-zA-Z0-9_:.-]{2,40})", re.IGNORECASE
)
_META_BYTES = 4096
_SAMPLE_BYTES = 65_536
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Encodings of Python's that are no charsets of pages; some would run long or hide tags.
_NO_CHARSETS = frozenset(
    {"utf-7", "unicode_escape", "raw_unicode_escape", "punycode", "idna", "undefined"}
)
_ESCAPING = ("iso2022", "hz")


def decoded(body: bytes, declared: str) -> str:
    """Decodes a page.

    A mark at the beginning decides. Text beyond ASCII that is valid UTF-8 is UTF-8, whatever was
    declared: nothing else looks like it by chance. Then the server's word counts, then the
    page's own, then what the bytes look like.

    Args:
        body: The page's bytes, possibly cut off.
        declared: The charset that the server names, empty where it names none.
    """
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body.decode(name, errors="replace")
    meta = _META.search(body[:_META_BYTES])
    named = [declared, meta[1].decode("ascii") if meta else ""]
    known = [codec for codec in map(_codec, named) if codec]
    # These write everything in ASCII, so all of their texts are valid UTF-8.
    escaping = [codec for codec in known if codec.startswith(_ESCAPING)]
    if escaping:
        return body.decode(escaping[0], errors="replace")
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(body, final=False)
    except UnicodeDecodeError:
        pass  # The other candidates follow.
    for codec in known:
        if codec != "utf-8":
            try:
                return codecs.getincrementaldecoder(codec)().decode(body, final=False)
            except UnicodeError:
                continue
    if "utf-8" in known and _share_of_damage(body) < 0.01:
        return body.decode("utf-8", errors="replace")
    guess = from_bytes(body[:_SAMPLE_BYTES]).best()
    return body.decode(guess.encoding if guess else "cp1252", errors="replace")


def _codec(name: str) -> str:
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return ""
    if not getattr(found, "_is_text_encoding", True) or found.name in _NO_CHARSETS:
        return ""
    # What is labelled ISO-8859-1 is Windows-1252 by the web's own standard.
    return "cp1252" if found.name in ("iso8859-1", "ascii") else found.name


def _share_of_damage(body: bytes) -> float:
    sample = body[:_SAMPLE_BYTES].decode("utf-8", errors="replace")
    return sample.count("\ufffd") / max(1, len(sample))
