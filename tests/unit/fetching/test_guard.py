"""The guard: what may be connected to, in every notation, through names, and again and again."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.fetching.addresses import literal_address, plain_host, why_not_public
from agents.fetching.guard import Guard, origin_of
from agents.fetching.outcomes import PageRefused, TransientFailure

REFUSED = [
    # Loopback, plainly and in the notations that resolvers understand
    "http://127.0.0.1/",
    "http://127.0.0.1:8080/x",
    "http://127.255.255.254/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7F.0x0.0x0.0x1/",
    "http://0x7f.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0177.0.0.0x1/",
    "http://127.0.0.1./",
    "http://0/",
    "http://0.0.0.0/",
    "http://0x/",
    "http://localhost/",
    "http://LOCALHOST:80/",
    "http://localhost./",
    "http://foo.localhost/",
    "http://localhost.localdomain/",
    # Loopback in characters that browsers fold
    "http://１２７.0.0.1/",
    "http://127。0。0。1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://ｌｏｃａｌｈｏｓｔ/",
    "http://loc\u00adalhost/",
    "http://127.0.0\u2024.1/",
    # Private, shared, link-local, metadata, reserved, multicast
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://012.0.0.1/",
    "http://167772161/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://0xc0a80101/",
    "http://192.168.257/",
    "http://100.64.0.1/",
    "http://100.127.255.255/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://metadata.google.internal/",
    "http://168.63.129.16/",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.7/",
    "http://203.0.113.9/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    # IPv6, and IPv4 wrapped in it
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]:8000/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[::10.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:c0a8:101::1]/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "http://[2607:f8b0::5efe:10.0.0.1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[2606:4700::1111%25lo]/",
    "http://[fec0::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[100::1]/",
    "http://[3fff::1]/",
    # What no parser agrees on, and what is no web address
    "http://user@example.com/",
    "http://example.com@127.0.0.1/",
    "http://example.com:80@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com\\.evil.org/",
    "http:///127.0.0.1/",
    "http://exa mple.com/",
    "http://example.com\r\nHost: x/",
    "http://example.com\x00.org/",
    "http://1.2.3.4.5/",
    "http://256.1.1.1/",
    "http://127.0.0.08/",
    "http://example.com:99999/",
    "http://example.com:0/",
    "http://example.com:22/",
    "http://example.com:25/",
    "http://[::1/",
    "http://-/",
    "http://intranet/",
    "http://printer.local/",
    "http://router.lan/",
    "http://a..b.com/",
    "http://xn--/",
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://example.com:70/",
    "javascript:alert(1)",
    "data:text/html,x",
    "about:blank",
    "chrome://settings",
    "view-source:http://example.com/",
    "//example.com/",
    "example.com",
    "",
]
ALLOWED = [
    ("http://example.com/", "example.com", 80),
    ("https://example.com/a?b#c", "example.com", 443),
    ("http://EXAMPLE.com.:8080/", "example.com", 8080),
    ("https://en.wikipedia.org/wiki/Lyon", "en.wikipedia.org", 443),
    ("http://8.8.8.8/", "8.8.8.8", 80),
    ("http://0x08080808/", "8.8.8.8", 80),
    ("http://134744072/", "8.8.8.8", 80),
    ("https://[2606:4700:4700::1111]/", "2606:4700:4700::1111", 443),
    ("http://[::ffff:8.8.8.8]/", "::ffff:808:808", 80),
    ("http://münchen.de/", "xn--mnchen-3ya.de", 80),
    ("http://例え.jp/", "xn--r8jz45g.jp", 80),
    ("http://my_host.example.com/", "my_host.example.com", 80),
    ("http://127.0.0.1.nip.io/", "127.0.0.1.nip.io", 80),
]


def test_there_are_enough_cases():
    assert len(set(REFUSED)) == len(REFUSED) >= 60


@pytest.mark.parametrize("url", REFUSED)
async def test_it_is_refused_before_any_name_is_resolved(url):
    async def resolve(host, port):
        raise AssertionError(f"{host} was resolved")

    with pytest.raises(PageRefused):
        Guard(resolve=resolve).check_url(url)


@pytest.mark.parametrize(("url", "host", "port"), ALLOWED)
def test_public_addresses_and_names_pass(url, host, port):
    origin = Guard().check_url(url)
    assert (origin.host, origin.port) == (host, port)


def resolving(*answers):
    """A resolver that gives each of the answers in turn, and the last one for ever."""
    left = list(answers)

    async def resolve(host, port):
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, OSError):
            raise answer
        return answer

    return resolve


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:192.168.0.1"],
        ["fe80::1%eth0"],
        ["64:ff9b::a00:1"],
        # One bad address among good ones is enough.
        ["93.184.215.14", "192.168.0.1"],
    ],
)
async def test_names_are_refused_for_what_they_resolve_to(answer):
    with pytest.raises(PageRefused, match="not on the public internet"):
        await Guard(resolve=resolving(answer)).addresses("innocent.example.com", 80)


async def test_every_connection_resolves_and_checks_anew():
    guard = Guard(resolve=resolving(["93.184.215.14"], ["127.0.0.1"]))
    assert await guard.addresses("rebinding.example.com", 80) == ["93.184.215.14"]
    with pytest.raises(PageRefused, match="loopback"):
        await guard.addresses("rebinding.example.com", 80)


async def test_a_name_that_is_none_is_the_pages_fault_and_a_dead_resolver_is_not():
    unknown = socket.gaierror(socket.EAI_NONAME, "unknown")
    with pytest.raises(PageRefused, match="no host nowhere"):
        await Guard(resolve=resolving(unknown)).addresses("nowhere.example.com", 80)
    later = socket.gaierror(socket.EAI_AGAIN, "later")
    with pytest.raises(TransientFailure, match="could not be resolved now"):
        await Guard(resolve=resolving(later)).addresses("nowhere.example.com", 80)
    with pytest.raises(PageRefused, match="no host"):
        await Guard(resolve=resolving([])).addresses("empty.example.com", 80)


async def test_the_allow_list_names_hosts_with_their_ports():
    guard = Guard(["http://127.0.0.1:8000", "http://intranet:80"], resolving(["10.0.0.7"]))
    assert guard.is_allowed(guard.check_url("http://127.0.0.1:8000/wiki/Lyon"))
    assert await guard.addresses("127.0.0.1", 8000) == ["127.0.0.1"]
    assert await guard.addresses("intranet", 80) == ["10.0.0.7"]
    for host, port in [("127.0.0.1", 8001), ("127.0.0.2", 8000), ("10.0.0.7", 80), ("::1", 8000)]:
        with pytest.raises(PageRefused):
            await guard.addresses(host, port)
    with pytest.raises(PageRefused):
        await guard.addresses("other.example.com", 80)


def test_an_allowed_origin_that_is_none_is_refused_at_once():
    with pytest.raises(ValueError, match="not an http or https address"):
        Guard(["127.0.0.1:8000"])


# Properties

NOT_PUBLIC_V4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
    "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
]  # fmt: skip
inside = st.sampled_from([ip_network(n) for n in NOT_PUBLIC_V4]).flatmap(
    lambda network: st.integers(int(network.network_address), int(network.broadcast_address))
)
any_v4 = st.integers(0, 2**32 - 1)


def notations(value: int, bases: tuple[int, int, int, int], parts: int) -> str:
    """An IPv4 address written in one to four parts, each in base 8, 10 or 16."""
    written = {8: lambda n: f"0{n:o}", 10: str, 16: hex}
    octets = [value >> 24 & 255, value >> 16 & 255, value >> 8 & 255, value & 255]
    numbers = octets[: parts - 1]
    numbers.append(value & (1 << 8 * (5 - parts)) - 1)
    return ".".join(written[base](n) for base, n in zip(bases, numbers, strict=False))


bases = st.tuples(*[st.sampled_from([8, 10, 16])] * 4)


@given(inside, bases, st.integers(1, 4))
def test_no_notation_of_an_inner_address_passes(value, base, parts):
    with pytest.raises(PageRefused):
        Guard().check_url(f"http://{notations(value, base, parts)}/")


@given(inside)
def test_no_wrapping_of_an_inner_address_passes(value):
    for prefix in ("::ffff:0:0", "::", "64:ff9b::", "::ffff:0:0:0", "64:ff9b:1::"):
        assert why_not_public(IPv6Address(int(IPv6Address(prefix)) | value))
    assert why_not_public(IPv6Address((0x2002 << 112) | value << 80))


@given(any_v4, bases, st.integers(1, 4))
def test_all_notations_mean_the_same_address(value, base, parts):
    assert literal_address(notations(value, base, parts)) == IPv4Address(value)


@given(any_v4)
def test_what_python_knows_to_be_inner_is_refused(value):
    address = IPv4Address(value)
    if address.is_private or address.is_multicast or address.is_reserved or address.is_loopback:
        assert why_not_public(address)


@given(st.integers(0, 2**128 - 1))
def test_only_global_unicast_passes_among_ipv6(value):
    address = IPv6Address(value)
    if not why_not_public(address):
        assert address in ip_network("2000::/3") or int(address) >> 32 in (0xFFFF, 0x64FF9B << 64)


@given(st.text(max_size=60))
def test_any_text_is_an_origin_or_a_value_error(text):
    for url in (text, f"http://{text}", f"http://{text}/"):
        try:
            origin = origin_of(url)
        except ValueError:
            continue
        assert origin.host == plain_host(origin.host)
        assert origin.host.isascii()
