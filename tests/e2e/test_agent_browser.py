"""The agent's tools with Chromium on the local web: the same pages in all three modes."""

from __future__ import annotations

import asyncio
import json

import pytest

from agents.config import AgentConfig, VisitConfig
from agents.fetching import browser_source
from agents.snapshots import PageRecorder
from agents.toolset import open_tools
from agents.web.config import WebConfig
from agents.web.local import open_web

pytestmark = pytest.mark.browser

PAGES = [
    {
        "title": "Harbour",
        "text": "A harbour shelters ships. It is calm.\n\nMany have a lighthouse & a mole.",
        "links": ["Lighthouse"],
    },
    {"title": "Lighthouse", "text": "A <b>lighthouse</b> guides ships into a harbour."},
    {"title": "Café (Zürich)", "text": "Ein Café: 3 < 4 — „gut“."},
]


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOLVESEARCH_CACHE", str(tmp_path))
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, PAGES)))
    return open_web(WebConfig(embedded=False, corpus=(str(tmp_path / "corpus.jsonl"),)))


def seen(web, mode):
    """What the tools show and record of every page in a mode."""
    recorder = PageRecorder()
    config = AgentConfig(visit=VisitConfig(mode=mode, open_results=True))

    async def look(tools):
        found = [await tools["search"]({"query": ["ships"]})]
        for title in ("Harbour", "Lighthouse", "Café (Zürich)"):
            # In a loop of its own each time, as the steps of a training run are.
            found.append(await tools["visit"]({"url": title, "goal": "ships"}))
        return found

    with open_tools(web, config, recorder) as tools:
        shown = [
            (observation.text, observation.urls, [(p.url, p.query) for p in observation.pages])
            for _ in range(2)
            for observation in asyncio.run(look(tools))
        ]
    return shown, [(page.url, page.title, " ".join(page.text.split())) for page in recorder.drain()]


def test_all_modes_show_and_record_the_same(web, monkeypatch):
    opened = []
    read = browser_source.BrowserSource.read

    async def noting(self, url):
        opened.append(url)
        return await read(self, url)

    monkeypatch.setattr(browser_source.BrowserSource, "read", noting)
    shown, pages = seen(web, "browser")
    assert len(pages) >= 3
    # Each page once, however often it is looked at: the process remembers them.
    assert len(opened) == 3
    assert seen(web, "http") == (shown, pages)
    assert len(opened) == 3
    direct, _ = seen(web, "direct")
    assert direct == shown
