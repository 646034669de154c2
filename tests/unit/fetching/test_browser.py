"""Chromium among hostile pages: it reads what people would, and reaches what it may."""

from __future__ import annotations

import asyncio
import os
import socket
import time

import pytest
from hostile_server import HostileServer

from agents.fetching.outcomes import PageMissing, PageRefused, TransientFailure

pytestmark = [pytest.mark.browser, pytest.mark.hostile]

SENTENCE = "The harbour of Lisbon shelters ships from the storms of the Atlantic"


@pytest.fixture
def browse(read):
    return lambda path, **changes: read(path, "browser", **changes)


def test_a_page_is_read_as_its_scripts_leave_it(browse, hostile):
    page = browse("/scripted")
    assert page.title == "Harbour"
    assert page.url == hostile.url + "/scripted"
    assert SENTENCE in page.text
    assert "Written by a script of it." in page.text


@pytest.mark.parametrize("path", ["/", "/moved", "/popups", "/media", "/gzipped"])
def test_pages_are_read_whatever_they_bring_along(browse, hostile, path):
    assert SENTENCE in browse(path).text
    # Popups are not opened, and pictures are not fetched.
    assert hostile.hits["/popup"] == 0
    assert hostile.hits["/image"] == 0


def test_a_page_without_end_is_read_up_to_the_limit(browse):
    assert SENTENCE in browse("/huge", max_page_bytes=300_000, timeout_s=20.0).text


def test_what_a_browser_would_save_is_read_without_it(browse):
    assert browse("/pdf").text == "The harbour of Lisbon shelters ships."
    assert browse("/plain").text == "The harbour\nof Lisbon."
    with pytest.raises(PageRefused, match="application/zip"):
        browse("/download")


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("/404", PageMissing, "no such page"),
        ("/loop", PageRefused, "circle"),
        ("/image", PageRefused, "image/png"),
        ("/growing", PageRefused, "expected at most 200000"),
        ("/elsewhere?to=http://169.254.169.254/latest", PageRefused, "link-local"),
        ("/elsewhere?to=http://2130706433:8000/", PageRefused, "loopback"),
        ("/elsewhere?to=http://localhost:8000/", PageRefused, "not a name of the public internet"),
        ("/elsewhere?to=file:///etc/passwd", PageRefused, "no web page's"),
    ],
)
def test_a_definite_no(browse, path, kind, message):
    with pytest.raises(kind, match=message):
        browse(path, timeout_s=20.0)


@pytest.mark.parametrize(("path", "message"), [("/500", "answered 500"), ("/hang", "not read")])
def test_failures_on_the_way(browse, path, message):
    with pytest.raises(TransientFailure, match=message):
        browse(path, retries=0, timeout_s=3.0)


def test_scripts_that_never_end_are_left_out(browse):
    started = time.monotonic()
    assert SENTENCE in browse("/neverending", browser_script_s=1.0, timeout_s=20.0).text
    assert time.monotonic() - started < 20


def test_visits_share_nothing(reader_of, hostile):
    reader = reader_of("browser")
    for _ in range(2):
        assert "Cookies: none." in asyncio.run(reader.fetch(hostile.url + "/cookies")).text


def test_no_page_reaches_an_address_that_the_guard_refuses(browse, hostile):
    with HostileServer() as inner, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stun:
        stun.bind(("127.0.0.1", 0))
        stun.settimeout(0.2)
        page = browse(f"/spy?at={inner.url}&udp={stun.getsockname()[1]}")
        assert SENTENCE in page.text
        with pytest.raises(TimeoutError):
            stun.recv(100)
        assert inner.hits == {}


def test_the_browser_comes_back_after_it_was_killed(reader_of, hostile):
    reader = reader_of("browser", browser_tabs=1)
    assert SENTENCE in asyncio.run(reader.fetch(hostile.url + "/")).text
    for process in _chromiums():
        os.kill(process, 9)
    assert SENTENCE in asyncio.run(reader.fetch(hostile.url + "/")).text
    reader.close()
    assert _chromiums() == []


def _chromiums() -> list[int]:
    """The browsers that this process started, by way of Playwright's driver, and that reader."""
    parents = {}
    names = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    name, _, rest = stat.read().partition("(")[2].rpartition(")")
            except OSError:
                continue
            names[int(entry)], parents[int(entry)] = name, int(rest.split()[1])
    drivers = {process for process, parent in parents.items() if parent == os.getpid()}
    return [
        p
        for p, parent in parents.items()
        if parent in drivers and names[p].startswith(("chrom", "headless"))
    ]
