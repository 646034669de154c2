"""Results in one shape: plain text, canonical addresses, no page twice, within the budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.web.search.results import SearchResult, canonical_url, normalised, plain_text


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("HTTPS://Example.ORG:443/A?b=1#frag", "https://example.org/A?b=1"),
        ("http://example.org:8080", "http://example.org:8080/"),
        ("https://example.org/?utm_source=x&q=a+b&gclid=1", "https://example.org/?q=a+b"),
        ("https://example.org/?q=a%20b", "https://example.org/?q=a%20b"),
        ("https://user:secret@example.org/a", "https://example.org/a"),
        ("https://münchen.example/", "https://xn--mnchen-3ya.example/"),
        ("http://[2001:DB8::1]:80/x", "http://[2001:db8::1]/x"),
        ("doc:7201", "doc:7201"),
        ("javascript:alert(1)", ""),
        ("file:///etc/passwd", ""),
        ("http://example.org:99999/", ""),
        ("http://[broken/", ""),
        ("//example.org/", ""),
        ("", ""),
    ],
)
def test_an_address_has_one_spelling(given_url, expected):
    assert canonical_url(given_url) == expected
    assert canonical_url(expected) == expected


def test_text_is_plain():
    assert plain_text(" <strong>Lyon</strong> &amp;\n its<br/>bridges ") == "Lyon & itsbridges"
    assert plain_text("How to use <div> and <answer>") == "How to use <div> and <answer>"
    assert plain_text("a\u202eb\x00c\u200bd") == "abcd"


def test_pages_and_texts_that_stand_twice_are_shown_once():
    found = normalised(
        [
            ("A", "https://www.example.org/a/", "one"),
            ("A again", "http://example.org/a", "other words"),
            ("a", "https://mirror.example.net/a", "One"),
            ("no address", "ftp://example.org/", "text"),
            ("", "https://example.org/empty", ""),
            ("B", "https://example.org/b", "two"),
            ("C", "https://example.org/c", "three"),
        ],
        k=2,
        max_words=30,
    )
    assert found == [
        SearchResult("https://www.example.org/a/", "A", "one"),
        SearchResult("https://example.org/b", "B", "two"),
    ]


def test_snippets_are_cut_at_words():
    (found,) = normalised([("T", "https://example.org/", "one two three four")], 5, 3)
    assert found.snippet == "one two three …"


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=200), st.integers(1, 9))
def test_whatever_comes_the_shape_holds(title, url, snippet, max_words):
    for found in normalised([(title, url, snippet)] * 2, 5, max_words):
        assert found.url.split(":")[0] in ("http", "https", "doc")
        assert len(found.snippet.split()) <= max_words + 1
        assert found.snippet == " ".join(found.snippet.split())
