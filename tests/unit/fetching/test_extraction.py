"""Text from bodies: charsets, kinds, and workers that meet documents which break them."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.fetching import extraction
from agents.fetching.charsets import decoded
from agents.fetching.extraction import Extractor, charset_of, kind_of
from agents.fetching.outcomes import PageProblem, PageRefused, TransientFailure
from agents.fetching.outline import MAX_LINKS, Outline, outline_of_html
from agents.fetching.unpacking import Unpacker

FRENCH = "<p>Le café du port est ouvert toute l'année.</p>"
JAPANESE = "<p>リスボンの港は二千年の間、大西洋の嵐から船を守ってきた。</p>"


@pytest.mark.parametrize(
    ("text", "encoding", "declared"),
    [
        (FRENCH, "utf-8", "utf-8"),
        (FRENCH, "utf-8", "iso-8859-1"),
        (FRENCH, "utf-8", ""),
        (FRENCH, "cp1252", "iso-8859-1"),
        (FRENCH, "cp1252", "us-ascii"),
        (FRENCH, "latin-1", ""),
        (FRENCH, "utf-8-sig", "shift_jis"),
        (FRENCH, "utf-16", "utf-8"),
        (JAPANESE, "shift_jis", "Shift_JIS"),
        (JAPANESE, "euc_jp", "EUC-JP"),
        (JAPANESE, "iso2022_jp", "ISO-2022-JP"),
        (f"<meta charset='euc-jp'>{JAPANESE}", "euc_jp", ""),
        (f'<meta http-equiv=x content="text/html; charset=gbk">{"港口" * 20}', "gbk", "nonsense"),
        (FRENCH, "utf-8", "base64"),
        (FRENCH, "utf-8", "utf-7"),
        (FRENCH, "utf-8", "unicode_escape"),
    ],
)
def test_charsets(text, encoding, declared):
    assert decoded(text.encode(encoding), declared) == text


@given(
    st.binary(max_size=300), st.sampled_from(["", "utf-8", "gbk", "utf-16", "zip", "\x00", "hz"])
)
def test_any_bytes_are_some_text(body, declared):
    assert isinstance(decoded(body, declared), str)


@pytest.mark.parametrize(
    ("content_type", "kind", "charset"),
    [
        ("text/html", "html", ""),
        ('TEXT/HTML; Charset="UTF-8"', "html", "UTF-8"),
        ("application/xhtml+xml;charset=x;q=1", "html", "x"),
        ("application/pdf", "pdf", ""),
        ("text/markdown", "text", ""),
        ("application/json", "text", ""),
        ("", "unknown", ""),
        ("application/octet-stream", "unknown", ""),
    ],
)
def test_content_types(content_type, kind, charset):
    assert (kind_of(content_type, "http://x"), charset_of(content_type)) == (kind, charset)


@pytest.mark.parametrize("content_type", ["image/png", "video/mp4", "application/zip", "nonsense"])
def test_what_is_no_text_is_refused(content_type):
    with pytest.raises(PageRefused, match="expected a page of text or a PDF"):
        kind_of(content_type, "http://x")


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "deflate"]))
def test_unpacking_anything_gives_bytes_or_a_failure(body, encoding):
    unpacker = Unpacker(encoding, 1000)
    try:
        for start in range(0, len(body), 100):
            unpacker.feed(body[start : start + 100])
    except TransientFailure as failure:
        assert "damaged" in str(failure)  # noqa: PT017 - most bodies are, and some are not
    assert len(unpacker.body) <= 1000


@pytest.fixture
async def extractor():
    extractor = Extractor("http://site", 1.5, num_workers=1)
    yield extractor
    await extractor.close()
    assert not extractor._all


async def test_the_sites_own_pages_keep_every_line(extractor):
    html = b"<main><h1>Lyon</h1><p>One.</p><p>Two.</p></main><footer>x</footer>"
    found = await extractor.extract(html, "text/html", "http://site/wiki/Lyon")
    assert (found.title, found.text, found.outline) == ("Lyon", "One.\nTwo.", None)
    assert found.num_bytes == len(html)
    assert not extractor._all


async def test_a_worker_that_hangs_or_dies_is_replaced(extractor, monkeypatch):
    body, kind, url = b"A line of text.", "text/plain", "http://a.example/"
    assert (await extractor.extract(body, kind, url)).text == "A line of text."
    [worker] = extractor._all
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(PageProblem, match="the reader gave up"):
        await extractor.extract(body, kind, url)
    assert (await extractor.extract(body, kind, url)).text == "A line of text."
    [worker] = extractor._all
    os.kill(worker._process.pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(PageProblem, match=r"could not be read within 1\.5 s"):
        await extractor.extract(body, kind, url)
    assert time.monotonic() - started < 4
    assert (await extractor.extract(body, kind, url)).text == "A line of text."


async def test_a_worker_has_little_memory_and_no_secrets(extractor, monkeypatch):
    monkeypatch.setenv("SERPER_API_KEY", "secret-of-ours")
    await extractor.extract(b"text", "text/plain", "http://a.example/")
    [worker] = extractor._all
    with open(f"/proc/{worker._process.pid}/environ", "rb") as environment:
        assert b"secret-of-ours" not in environment.read()
    with open(f"/proc/{worker._process.pid}/limits") as limits:
        [line] = [line for line in limits if line.startswith("Max address space")]
    assert str(2 << 30) in line


async def test_a_worker_that_cannot_start_is_a_failure_of_ours(extractor, monkeypatch):
    monkeypatch.setattr(extraction.sys, "executable", "/nowhere/python")
    with pytest.raises(TransientFailure, match="could not be started"):
        await extractor.extract(b"text", "text/plain", "http://a.example/")


OUTLINED = """<html lang="EN-gb"><head><base href="/docs/">
<meta name=robots content="NoFollow"></head>
<body class="nav-on-top"><nav><a href="/">Home</a></nav><main>
<p>The <a href="harbour#piers">harbour</a> of <a href="//b.example/x" rel="nofollow">Lisbon</a>.</p>
<ul><li><a href=" list?q=1 ">a list</a></li></ul>
<div class="see-also"><a href="related"><img alt="A picture"></a></div>
<a href="#here">here</a><a>nothing</a></main>
<footer><p><a href="mailto:x@y.example">write</a></p></footer>"""


@pytest.mark.parametrize("site", [True, False], ids=["in this process", "in a worker"])
async def test_an_outline_says_where_links_stand_and_what_robots_are_asked(site):
    address = "http://site/wiki/Lyon" if site else "http://a.example/wiki/Lyon"
    root = address.removesuffix("/wiki/Lyon")
    extractor = Extractor("http://site", 5.0, num_workers=1, outlines=True)
    try:
        page = await extractor.extract(OUTLINED.encode(), "text/html", address)
    finally:
        await extractor.close()
    outline = page.outline
    assert outline is not None
    assert (outline.language, outline.nofollow, outline.noindex) == ("en-gb", True, False)
    assert [(link.url.removeprefix(root), link.anchor, link.place) for link in outline.links] == [
        ("/", "Home", "menu"),
        ("/docs/harbour#piers", "harbour", "text"),
        ("http://b.example/x", "Lisbon", "text"),
        ("/docs/list?q=1", "a list", "list"),
        ("/docs/related", "A picture", "related"),
        ("mailto:x@y.example", "write", "footer"),
    ]
    assert outline.links[1].context == "The harbour of Lisbon."
    assert [link.nofollow for link in outline.links] == [False, False, True, False, False, False]
    assert Outline.from_json(outline.as_json()) == outline


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<",
        "\x00",
        "<base href='http://['><a href='http://[x'>y</a>",
        "<a href=x>" * 3000,
        "<div>" * 50_000 + "<a href=x>y</a>",
        "<?xml version='1.0' encoding='utf-16'?><a href=x>y",
    ],
)
def test_any_html_has_an_outline(html):
    outline = outline_of_html(html, "http://a.example/")
    assert len(outline.links) <= MAX_LINKS
    if html.count("<a href") == 3000:
        assert (len(outline.links), outline.num_links) == (MAX_LINKS, 3000)


@given(st.text(alphabet="<>ahref='\"/ =x&#;\x00é", max_size=200))
def test_no_text_breaks_the_outline(html):
    outline = outline_of_html(f"<p>{html}<a href='{html}'>{html}</a>", "http://a.example/")
    assert Outline.from_json(json.loads(json.dumps(outline.as_json()))) == outline
    assert all(link.url.startswith(("http://", "https://")) for link in outline.links)


@pytest.mark.parametrize("value", [None, {}, {"links": [{}]}, {"links": [{"place": "top"}]}])
def test_an_outline_of_another_form_is_refused(value):
    with pytest.raises(ValueError, match="of another form"):
        Outline.from_json(value)
