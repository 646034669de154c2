"""One form for an address: stable, the same for all spellings, and never one site for another."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.construction.crawl.addresses import canonical
from training.construction.crawl.scope import Scope, registrable_domain

NAMES = st.text(alphabet="abcxyz019-_.~ éß/%;=?&#:@[]()+'!\\\t", max_size=12)
SEGMENTS = st.lists(
    st.one_of(
        st.sampled_from(
            ["a", "b", "..", ".", "", "index.html", "x;jsessionid=1", "%7Ea", "(S(x))"]
        ),
        st.text(alphabet="abz09-_.~", max_size=6),
    ),
    max_size=6,
)
PARAMETERS = st.lists(
    st.tuples(
        st.sampled_from(["q", "id", "b", "utm_source", "PHPSESSID", "page"]),
        st.text("ab1%é", max_size=3),
    ),
    max_size=5,
)


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("HTTP://WWW.Example.COM", "http://www.example.com/"),
        ("https://example.com:443/a#b", "https://example.com/a"),
        ("http://example.com:8080/", "http://example.com:8080/"),
        ("http://me:secret@example.com/a@b", "http://example.com/a@b"),
        ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4"),
        ("http://a.example/%7euser/%c3%a4/%2f", "http://a.example/~user/%C3%A4/%2F"),
        ("http://a.example/a/./b/../c//d", "http://a.example/a/c/d"),
        ("http://a.example/../..", "http://a.example/"),
        ("http://a.example/dir/index.html", "http://a.example/dir/"),
        ("http://a.example/index.php?b=2&a=1", "http://a.example/?a=1&b=2"),
        ("http://a.example/index.html/index.html", "http://a.example/index.html/"),
        ("http://a.example/p?utm_source=x&id=3&fbclid=y", "http://a.example/p?id=3"),
        ("http://a.example/p;jsessionid=A1?PHPSESSID=2&x", "http://a.example/p?x"),
        ("http://a.example/?sid=21/05/01&session=2", "http://a.example/?session=2&sid=21/05/01"),
        ("http://a.example/?sid=0a1b2c3d4e5f6a7b8c9d", "http://a.example/"),
        ("http://a.example/(S(abc123))/p.aspx", "http://a.example/p.aspx"),
        ("http://a.example/p?a=1&a=1&a=2&b=", "http://a.example/p?a=1&a=2&b="),
        ("http://a.example/p?a=100%", "http://a.example/p?a=100%25"),
        ("http://a.example/a b?c d", "http://a.example/a%20b?c%20d"),
        ("http://wiki.local/AC%2FDC_(band)", "http://wiki.local/AC%2FDC_(band)"),
    ],
)
def test_spellings(given_url, expected):
    assert canonical(given_url) == expected
    assert canonical(expected) == expected


@pytest.mark.parametrize(
    "url",
    ["mailto:x@y.example", "javascript:void(0)", "/path", "http://", "http://[x", "", "http:///a"],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match=r"address|host|number"):
        canonical(url)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text):
    for url in (text, f"http://{text}", f"http://a.example/{text}"):
        try:
            found = canonical(url)
        except ValueError:
            continue
        assert canonical(found) == found
        assert found.isascii()


@given(NAMES, NAMES)
def test_a_canonical_address_stays_as_it_is(path, query):
    try:
        found = canonical(f"http://a.example/{path}?{query}")
    except ValueError:
        return
    assert canonical(found) == found
    assert urlsplit(found).netloc == "a.example"


@given(SEGMENTS, PARAMETERS, st.randoms(use_true_random=False))
def test_order_case_port_fragment_and_tracking_make_no_difference(segments, parameters, chance):
    path = "/".join(segments)
    query = "&".join(f"{name}={value}" for name, value in parameters)
    plain = canonical(f"http://a.example/{path}?{query}")
    shuffled = [*parameters, ("gclid", "x"), *parameters[:1]]
    chance.shuffle(shuffled)
    query = "&".join(f"{name}={value}" for name, value in shuffled)
    assert canonical(f"HTTP://A.Example:80/./{path}?{query}#top") == plain
    # What the query asks for is not lost with its order.
    kept = {f"{n}={v}" for n, v in parameters if n not in ("utm_source", "PHPSESSID")}
    assert len(urlsplit(plain).query.split("&")) == max(1, len(kept))


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [
        (
            "host",
            ["http://a.example.co.uk/x", "https://www.a.example.co.uk/"],
            [
                "http://b.example.co.uk/",
                "http://a.example.co.uk:8080/",
                "http://a.example.co.uk.x.org/",
            ],
        ),
        (
            "domain",
            ["http://b.example.co.uk/", "https://example.co.uk/"],
            ["http://other.co.uk/", "http://example.com/"],
        ),
        (
            "path",
            ["http://a.example.co.uk/docs/b/c"],
            ["http://a.example.co.uk/", "http://a.example.co.uk/docsearch", "http://x.org/docs/b"],
        ),
    ],
)
def test_what_belongs_to_a_site(rule, inside, outside):
    scope = Scope(["http://a.example.co.uk/docs/start"], rule)
    assert all(scope.holds(url) for url in inside)
    assert not any(scope.holds(url) for url in outside)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:80", "[::1]:8080", "localhost", "wiki.local"]
)
def test_what_has_no_public_suffix_is_its_own_domain(host):
    assert registrable_domain(host) == host
