"""Addresses in one form: two spellings of one page give one key.

What is changed (RFC 3986, section 6, and what sites do): scheme and host in lower case, the host in
ASCII, default ports, fragments and user names gone; percent-encoding in one spelling, characters
that need none decoded; `.` and `..` resolved, doubled slashes one; names of index pages gone; query
parameters sorted, doubled ones one, those that track visitors or carry their session gone; session
ids gone from paths as well. An address in this form stays as it is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, urlsplit, urlunsplit

from agents.fetching.guard import origin_of

_DEFAULT_PORTS = {"http": 80, "https": 443}
_INDEX = re.compile(
    r"/(?:index|default)\.(?:html?|xhtml|php\d?|aspx?|jsp|cgi|shtml)$", re.IGNORECASE
)
_SESSION_IN_PATH = re.compile(
    r";(?:jsessionid|phpsessid|sid|sessionid)=[^/;]*|/\([sf]\([a-z0-9]+\)\)(?=/|$)", re.IGNORECASE
)
_TRACKING = re.compile(
    r"utm_\w+|ga_\w+|hsa_\w+|mc_[ce]id|mkt_tok|[gdy]clid|fbclid|msclkid|wbraid|gbraid|igshid|_ga|_gl"
    r"|_hsenc|_hsmi|vero_id|oly_(?:anon|enc)_id|wickedid|ref_src|ref_url|spm|scm|twclid|ttclid",
    re.IGNORECASE,
)
_SESSION = re.compile(
    r"(?:php|j|asp|zend?_?)?sess(?:ion)?_?id\w*|oscsid|zenid|cfid|cftoken|visitor_?id",
    re.IGNORECASE,
)
# These name a story, a section or a talk elsewhere; a visitor's session has a long value.
_PERHAPS_SESSION = re.compile(r"s_?id|sess|session|token", re.IGNORECASE)
_TOKEN = re.compile(r"(?=[^=]*\d)[0-9A-Za-z_-]{16,}")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SAFE = "!#$%&'()*+,/:;=?@[]~"


@lru_cache(maxsize=16_384)
def canonical(url: str) -> str:
    """The one form of an absolute http(s) address.

    Raises:
        ValueError: It is none, or one that parsers disagree on; see `origin_of`.
    """
    url = url.strip()
    scheme, _, rest = url.partition("://")
    # Spaces within an address are what browsers make of them.
    url = f"{scheme.lower()}://{rest}".replace(" ", "%20")
    origin = origin_of(_without_user(url))
    parts = urlsplit(url)
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if origin.port != _DEFAULT_PORTS[origin.scheme]:
        host = f"{host}:{origin.port}"
    return urlunsplit((origin.scheme, host, _path(parts.path), _query(parts.query), ""))


def path_of(url: str) -> str:
    """The path of a canonical address, `/` at least."""
    return urlsplit(url).path


def host_of(url: str) -> str:
    """Host and port of a canonical address."""
    return urlsplit(url).netloc


def _without_user(url: str) -> str:
    scheme, _, rest = url.partition("://")
    end = min((rest.find(c) for c in "/?#" if c in rest), default=len(rest))
    place = rest[:end].rpartition("@")[2]
    return f"{scheme}://{place}{rest[end:]}"


def _path(path: str) -> str:
    path = _SESSION_IN_PATH.sub("", _encoded(path))
    segments: list[str] = []
    parts = path.split("/")
    for part in parts:
        if part == "..":
            if segments:
                segments.pop()
        elif part not in (".", ""):
            segments.append(part)
    folder = parts[-1] in ("", ".", "..") and segments
    tidy = "/" + "/".join(segments) + ("/" if folder else "")
    return _INDEX.sub("/", tidy)


def _query(query: str) -> str:
    kept: set[tuple[str, str, str]] = set()
    for part in re.split("[&;]", query):
        name, equals, value = part.partition("=")
        name, value = _encoded(name), _encoded(value)
        if name and not _is_of_the_visitor(name, value):
            kept.add((name, equals, value))
    return "&".join("".join(part) for part in sorted(kept))


def _is_of_the_visitor(name: str, value: str) -> bool:
    if _TRACKING.fullmatch(name) or _SESSION.fullmatch(name):
        return True
    return bool(_PERHAPS_SESSION.fullmatch(name) and _TOKEN.fullmatch(value))


def _encoded(text: str) -> str:
    def decoded(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if character in _UNRESERVED else match[0].upper()

    # A percent sign that begins no escape is one itself.
    text = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text)
    return quote(_ESCAPE.sub(decoded, text), safe=_SAFE, errors="replace")
