"""Which addresses are on the public internet, in every notation in which one can be written.

The tables are those of IANA's special-purpose registries (RFC 6890 and its updates), written out
because Python's own have changed between patch releases. What is not surely public is refused.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

Address = IPv4Address | IPv6Address

_IPV4 = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared by carriers",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local, where clouds keep their metadata",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved for protocols",
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "reserved for protocols",
    "192.52.193.0/24": "reserved for protocols",
    "192.88.99.0/24": "a relay of 6to4",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "reserved for protocols",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    # Public ranges that answer inside clouds only, with metadata or as a virtual host.
    "168.63.129.16/32": "a cloud's own services",
    "100.100.100.200/32": "a cloud's metadata",
}
_IPV6 = {
    "2001::/23": "reserved for protocols, Teredo among them",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4, which wraps an IPv4 address",
    "2620:4f:8000::/48": "reserved for protocols",
    "3fff::/20": "documentation",
}
_IPV4_NETWORKS = [(IPv4Network(network), why) for network, why in _IPV4.items()]
_IPV6_NETWORKS = [(IPv6Network(network), why) for network, why in _IPV6.items()]
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Prefixes whose last 32 bits are an IPv4 address that is reached in the end.
_WRAPPING = [IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")]
# Interface ids of ISATAP, which wrap an IPv4 address behind any prefix.
_ISATAP = (0x00005EFE, 0x02005EFE)

_DOTS = re.compile("[\u3002\uff0e\uff61]")
_IPV4_PART = re.compile(r"0x[0-9a-f]*|[0-9]+")


def why_not_public(address: Address) -> str:
    """What an address is for where that is not the public internet; empty where it is."""
    if isinstance(address, IPv4Address):
        return next((why for network, why in _IPV4_NETWORKS if address in network), "")
    if address.scope_id is not None:
        return "bound to a network interface"
    if any(address in network for network in _WRAPPING):
        return why_not_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if address not in _GLOBAL_UNICAST:
        return "loopback" if address.is_loopback else "outside of IPv6's public range"
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return "ISATAP, which wraps an IPv4 address"
    return next((why for network, why in _IPV6_NETWORKS if address in network), "")


def plain_host(host: str) -> str:
    """A host as it is compared: lower case, ordinary characters and dots, no dot at its end.

    Full-width digits, circled letters and ideographic dots are what browsers make of them, so
    that `１２７。０。０。１` is not mistaken for a name.
    """
    folded = unicodedata.normalize("NFKC", _DOTS.sub(".", host)).lower()
    # Soft hyphens and the like vanish in browsers.
    folded = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    return folded.removesuffix(".")


def literal_address(host: str) -> Address | None:
    """The address that a host is, in any notation that some resolver understands.

    Decimal, octal and hexadecimal parts, one to four of them (`0x7f.1`, `017700000001`), IPv6
    with or without brackets and with zones. A name gives None.

    Raises:
        ValueError: It looks like an address and is none (`1.2.3.4.5`, `127.0.0.08`).
    """
    host = plain_host(host)
    if host.startswith("[") or ":" in host:
        try:
            return IPv6Address(host.removeprefix("[").removesuffix("]").replace("%25", "%", 1))
        except AddressValueError as error:
            raise ValueError(f"{host} is not an IPv6 address") from error
    parts = host.split(".")
    # A name's last label is never a number (RFC 3696), and resolvers take such ones for addresses.
    if not _IPV4_PART.fullmatch(parts[-1]):
        return None
    if len(parts) > 4 or not all(_IPV4_PART.fullmatch(part) for part in parts):
        raise ValueError(f"{host} is not an IPv4 address")
    *leading, last = [_number(part, host) for part in parts]
    if any(part > 255 for part in leading) or last >= 256 ** (4 - len(leading)):
        raise ValueError(f"{host} is not an IPv4 address")
    value = last
    for position, part in enumerate(leading):
        value |= part << (24 - 8 * position)
    return ip_address(IPv4Address(value))


def _number(text: str, host: str) -> int:
    base = 16 if text.startswith("0x") else 8 if text.startswith("0") and len(text) > 1 else 10
    try:
        return int(text.removeprefix("0x") or "0", base)
    except ValueError as error:
        raise ValueError(f"{host} is not an IPv4 address") from error
