"""The guard: every connection to the web is made here, to an address that was checked.

Names are resolved by us, each address is checked, and the connection goes to that very address:
a name that resolves differently a moment later (DNS rebinding) changes nothing. Redirects open
connections of their own, and so are checked hop by hop.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import idna

from agents.fetching.addresses import Address, literal_address, plain_host, why_not_public
from agents.fetching.outcomes import PageRefused, TransientFailure

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives a host name's addresses; raises OSError where there are none."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_FIRST_FREE_PORT = 1024
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
# Names that are never those of a public site, however they resolve.
_LOCAL_SUFFIXES = ("localhost", "local", "internal", "localdomain", "lan", "home.arpa", "onion")
_FORBIDDEN_IN_URLS = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an address leads: scheme, host as it is compared, and port."""

    scheme: str
    host: str
    port: int


class Guard:
    """Decides where connections may go.

    Args:
        allowed: Origins that may be reached wherever they are, such as the local web's site:
            `http://127.0.0.1:8000`.
        resolve: Resolves names; None: the system's resolver.

    Raises:
        ValueError: An allowed origin is none.
    """

    def __init__(self, allowed: Iterable[str] = (), resolve: Resolve | None = None) -> None:
        self._resolve = resolve or _system_addresses
        self._allowed = {(origin.host, origin.port) for origin in map(origin_of, allowed)}

    def check_url(self, url: str) -> Origin:
        """Checks all of an address that can be checked without resolving its name.

        Raises:
            PageRefused: It may not be visited; the message says why.
        """
        try:
            origin = origin_of(url)
        except ValueError as error:
            raise PageRefused(str(error)) from error
        self._check_host(origin.host, origin.port)
        return origin

    def is_allowed(self, origin: Origin) -> bool:
        """Whether an origin is on the allow-list."""
        return (origin.host, origin.port) in self._allowed

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses to connect to for a host, all of them checked.

        Raises:
            PageRefused: The host or one of its addresses may not be reached, or there is none.
            TransientFailure: The name could not be resolved now.
        """
        try:
            host = _comparable(host)
        except ValueError as error:
            raise PageRefused(str(error)) from error
        literal = self._check_host(host, port)
        if literal is not None:
            return [str(literal)]
        try:
            found = await self._resolve(host, port)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise TransientFailure(f"the name {host} could not be resolved now") from error
            raise PageRefused(f"there is no host {host}") from error
        except OSError as error:
            raise TransientFailure(f"the name {host} could not be resolved: {error}") from error
        if not found:
            raise PageRefused(f"there is no host {host}")
        if (host, port) not in self._allowed:
            # One bad address among good ones is refused, too: the next attempt might take it.
            for address in found:
                _refuse_unless_public(host, ip_address(address))
        return found

    def _check_host(self, host: str, port: int) -> Address | None:
        if (host, port) in self._allowed:
            return literal_address(host)
        if port not in _DEFAULT_PORTS.values() and port < _FIRST_FREE_PORT:
            raise PageRefused(f"port {port} is not a web server's")
        try:
            literal = literal_address(host)
        except ValueError as error:
            raise PageRefused(str(error)) from error
        if literal is not None:
            _refuse_unless_public(host, literal)
        elif "." not in host or host.endswith(tuple(f".{s}" for s in _LOCAL_SUFFIXES)):
            raise PageRefused(f"{host} is not a name of the public internet")
        return literal


def origin_of(url: str) -> Origin:
    """Takes an address apart as strictly as no browser does.

    Raises:
        ValueError: It is not an absolute http(s) address, or one that parsers disagree on.
    """
    shown = url if len(url) <= 200 else f"{url[:200]}…"
    if _FORBIDDEN_IN_URLS.search(url):
        raise ValueError(f"{shown!r} holds spaces, backslashes or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{shown!r} is not an address: {error}") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{shown!r} is not an http or https address")
    if "@" in parts.netloc:
        raise ValueError(f"{shown!r} names a user, which no page needs")
    if not parts.hostname:
        raise ValueError(f"{shown!r} names no host")
    if port == 0:
        raise ValueError(f"{shown!r} names port 0")
    return Origin(parts.scheme, _comparable(parts.hostname), port or _DEFAULT_PORTS[parts.scheme])


def _comparable(host: str) -> str:
    literal = literal_address(host)
    if literal is not None:
        return str(literal)
    name = plain_host(host)
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError as error:
            raise ValueError(f"{host!r} is not a host name: {error}") from error
    if not _NAME.fullmatch(name):
        raise ValueError(f"{host!r} is not a host name")
    return name


def _refuse_unless_public(host: str, address: Address) -> None:
    why = why_not_public(address)
    if why:
        shown = host if host == str(address) else f"{host} ({address})"
        raise PageRefused(f"{shown} is not on the public internet: {why}")


async def _system_addresses(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # IPv4 first: where IPv6 leads nowhere, each attempt would wait for its timeout.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
