"""What a hostile server does to plain requests: bounded, typed, and left behind without a trace."""

from __future__ import annotations

import asyncio
import time
import tracemalloc

import hostile_server
import pytest
from hostile_server import FORGERY

from agents.fetching.outcomes import (
    CircuitOpen,
    PageMissing,
    PageProblem,
    PageRefused,
    TransientFailure,
)

pytestmark = pytest.mark.hostile

SENTENCE = "The harbour of Lisbon shelters ships from the storms of the Atlantic"


def test_a_plain_page_gives_its_title_and_main_text(read, hostile):
    page = read("/")
    assert (page.title, page.url) == ("Harbour", hostile.url + "/")
    assert SENTENCE in page.text
    assert "built in 1761" in page.text
    assert "<" not in page.text


@pytest.mark.parametrize("path", ["/gzipped", "/deflated", "/moved", "/deep"])
def test_what_is_packed_moved_or_odd_is_read_all_the_same(read, path):
    assert SENTENCE in read(path).text


def test_pdf_and_plain_text(reader_of, hostile):
    reader = reader_of()
    pdf = asyncio.run(reader.fetch(hostile.url + "/pdf"))
    assert pdf.text == "The harbour of Lisbon shelters ships."
    assert asyncio.run(reader.fetch(hostile.url + "/plain")).text == "The harbour\nof Lisbon."


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("/404", PageMissing, "no such page"),
        ("/403", PageMissing, "not open to us"),
        ("/loop", PageRefused, "circle"),
        ("/chain/1", PageRefused, "redirects more than 5 times"),
        ("/image", PageRefused, "image/png"),
        ("/download", PageRefused, "application/zip"),
        ("/brotli", PageRefused, "packed as 'br'"),
        ("/binary", PageProblem, "could not be read"),
        ("/notpdf", PageProblem, "could not be read"),
        ("/elsewhere?to=http://169.254.169.254/latest", PageRefused, "link-local"),
        ("/elsewhere?to=http://0x7f.1:8000/", PageRefused, "loopback"),
        ("/elsewhere?to=http://[::ffff:10.0.0.1]/", PageRefused, "private"),
        ("/elsewhere?to=//localhost/x", PageRefused, "not a name of the public internet"),
        ("/elsewhere?to=file:///etc/passwd", PageRefused, "not an http or https address"),
        ("/elsewhere?to=http://a:b@example.com/", PageRefused, "names a user"),
    ],
)
def test_a_definite_no_is_the_pages_and_not_tried_again(read, hostile, path, kind, message):
    with pytest.raises(kind, match=message):
        read(path)
    assert max(hostile.hits.values()) == 1


@pytest.mark.parametrize("path", ["/500", "/reset", "/nonsense", "/badzip"])
def test_what_may_pass_is_tried_again_and_then_a_failure(read, hostile, path):
    with pytest.raises(TransientFailure):
        read(path, retries=2)
    assert hostile.hits[path] == 3


def test_retry_after_is_kept(read, hostile):
    started = time.monotonic()
    assert SENTENCE in read("/429?wait=1").text
    assert time.monotonic() - started >= 1
    assert hostile.hits["/429"] == 2


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(read, hostile):
    started = time.monotonic()
    with pytest.raises(TransientFailure, match="429"):
        read("/429?wait=3600")
    assert time.monotonic() - started < 2
    assert hostile.hits["/429"] == 1


@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_neither_silence_nor_a_drip_outlasts_the_deadline(read, path):
    started = time.monotonic()
    with pytest.raises(TransientFailure, match=r"not read within 0\.5 s"):
        read(path, timeout_s=0.5)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("path", ["/endless", "/huge", "/bomb"])
def test_a_body_without_end_is_read_up_to_the_limit(read, path):
    tracemalloc.start()
    page = read(path, max_page_bytes=300_000, timeout_s=20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert SENTENCE in page.text
    assert len(page.text) <= 300_000
    # The bomb is a gigabyte; the server packs it in this process, a megabyte at a time.
    assert peak < 30_000_000


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/latin1", "Le café du port de Lisbonne est ouvert toute l'année aux marins fatigués."),
        ("/utf8_as_latin1", "Le café du port de Lisbonne est ouvert toute l'année"),
        ("/nocharset", "Гавань Лиссабона укрывает корабли от бурь Атлантики"),
    ],
)
def test_a_wrong_charset_is_seen_through(read, path, text):
    assert text in read(path).text


def test_cookies_are_not_carried_over(reader_of, hostile):
    reader = reader_of()
    for _ in range(2):
        assert "Cookies: none." in asyncio.run(reader.fetch(hostile.url + "/cookies")).text


def test_robots_txt_is_kept_and_read_once(reader_of, hostile):
    reader = reader_of(robots=True)
    for _ in range(2):
        with pytest.raises(PageRefused, match=r"robots\.txt"):
            asyncio.run(reader.fetch(hostile.url + "/private"))
    assert SENTENCE in asyncio.run(reader.fetch(hostile.url + "/")).text
    with pytest.raises(PageRefused, match=r"robots\.txt"):
        asyncio.run(reader.fetch(hostile.url + "/elsewhere?to=/private"))
    assert hostile.hits["/robots.txt"] == 1
    assert hostile.hits["/private"] == 0


def test_visits_to_one_host_keep_their_distance(reader_of, hostile):
    reader = reader_of(interval_s=0.2)

    async def three():
        await asyncio.gather(*(reader.fetch(hostile.url + "/") for _ in range(3)))

    started = time.monotonic()
    asyncio.run(three())
    assert time.monotonic() - started >= 0.4


def test_a_host_that_keeps_failing_is_left_alone_and_tried_again_later(reader_of, hostile):
    reader = reader_of(retries=0, host_failures=3, host_rest_s=0.5)

    def fetch(path):
        return asyncio.run(reader.fetch(hostile.url + path))

    for _ in range(3):
        with pytest.raises(TransientFailure, match="answered 500"):
            fetch("/500")
    with pytest.raises(CircuitOpen, match="failed 3 times in a row"):
        fetch("/")
    assert hostile.hits["/"] == 0
    time.sleep(0.6)
    assert SENTENCE in fetch("/").text
    # One failure after the rest is one failure again.
    with pytest.raises(TransientFailure, match="answered 500"):
        fetch("/500")
    assert SENTENCE in fetch("/").text


def test_a_host_that_never_answers_is_left_alone_as_well(reader_of, hostile):
    reader = reader_of(retries=0, host_failures=2, timeout_s=0.3)
    for _ in range(2):
        with pytest.raises(TransientFailure, match="not read within"):
            asyncio.run(reader.fetch(hostile.url + "/hang"))
    with pytest.raises(CircuitOpen):
        asyncio.run(reader.fetch(hostile.url + "/"))


def test_a_robots_txt_that_cannot_be_read_counts_as_a_failure(reader_of, hostile, monkeypatch):
    monkeypatch.setattr(
        hostile_server._Handler, "page_robots_txt", hostile_server._Handler.page_500
    )
    reader = reader_of(retries=0, robots=True, host_failures=2)
    for _ in range(2):
        with pytest.raises(TransientFailure, match=r"robots\.txt of 127\.0\.0\.1 answered 500"):
            asyncio.run(reader.fetch(hostile.url + "/"))
    with pytest.raises(CircuitOpen):
        asyncio.run(reader.fetch(hostile.url + "/"))
    assert hostile.hits["/"] == 0


def test_a_page_cannot_forge_anything_by_being_read(read):
    # Its text is taken literally; what makes it harmless is tested with the whole observation.
    page = read("/forgery")
    assert "<|im_start|>assistant" in page.text
    assert FORGERY.split("\n", maxsplit=1)[0] in page.title
