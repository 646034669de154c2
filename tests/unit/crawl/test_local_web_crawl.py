"""Crawls of the local web: every link of its pages is found, under addresses that last."""

from __future__ import annotations

import asyncio
import json
import lzma

import pytest
from crawl_record import ListRecord
from hostile_site import prose
from shared_data import SHARED_DATA

from agents.config import VisitConfig
from agents.web.articles import Titles, read_corpus
from agents.web.graph import FactGraph
from agents.web.graph_file import write_graph
from agents.web.index import build_index
from agents.web.local import LocalWeb
from agents.web.page_store import write_pages
from agents.web.site import WebSite
from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.graph import PageGraph
from training.construction.crawl.local_web import LocalPages
from training.construction.crawl.run import crawl
from training.construction.crawl.visits import Reason

CORPUS = SHARED_DATA / "corpora" / "wikispeedia.jsonl.xz"
LINKS = {
    "Lyon": ["Rh%C3%B4ne", "C++", "What?_(song)"],
    "Rhône": ["Lyon", "AC/DC"],
    "C++": ["What?_(song)", "100%"],
    "What? (song)": ["Lyon"],
    "AC/DC": ["Episode_IV__A_Hope"],
    "100%": ["AC/DC", "Rhône"],
    "Episode IV: A Hope": ["Lyon"],
}


def web_of(rows, folder) -> LocalWeb:
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pages = read_corpus(path, Titles(()))
    write_graph(folder / "graph.json", FactGraph({}, ()))
    write_pages(folder / "pages.sqlite", pages)
    build_index(folder, pages)
    return LocalWeb(folder, "0" * 64, snippet_words=30)


def crawl_web(web, roots, record=None, mode="http", **changes):
    record = record or ListRecord()
    config = CrawlConfig.model_validate({"roots": roots, **changes})
    with WebSite(web) as site:
        visit = VisitConfig.model_validate({"mode": mode})
        return asyncio.run(crawl(config, visit, record, site.url)), record


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> LocalWeb:
    # Names that need encoding, and a name that only its id tells: file names hold no colon.
    rows = [
        {
            "id": title.replace(": ", "__").replace(" ", "_"),
            "title": title,
            # Names that the text mentions are linked there, the others below it.
            "text": f"{prose(title)}\n\nIt is like {next(iter(links))}.",
            "links": links,
        }
        for title, links in LINKS.items()
    ]
    return web_of(rows, tmp_path_factory.mktemp("web"))


def test_every_link_of_a_web_is_an_edge(web):
    report, record = crawl_web(web, ["http://wiki.local/Lyon"], min_words=80)
    graph = PageGraph.of(record.finished)
    wanted = {(page.url, link.url) for page in web.pages.values() for link in page.links}
    assert {(edge.source, edge.target) for edge in graph.edges} == wanted
    assert len(wanted) == sum(map(len, LINKS.values()))
    assert set(graph.titles.values()) == set(LINKS)
    texts = {visit.title: visit.text for visit in record.visits}
    for page in web.pages.values():
        assert texts[page.title].split() == page.text.split()
    # The front page, which every page leads to, is too short to be kept.
    assert graph.lost == {Reason.NO_TEXT: len(LINKS)}
    assert report.addresses == {Reason.KEPT: len(LINKS), Reason.NO_TEXT: 1}
    assert all(visit.url.startswith("http://wiki.local/") for visit in record.visits)


def test_a_crawl_goes_on_although_the_site_is_elsewhere_now(web):
    _, half = crawl_web(web, ["http://wiki.local/Lyon"], max_pages=3)
    report, whole = crawl_web(web, ["http://wiki.local/Lyon"], half)
    assert report.num_replayed >= 3
    assert len(whole.visits) == len({visit.url for visit in whole.visits}) == len(LINKS) + 1


def test_other_spellings_of_a_root_lead_to_its_page(web):
    _, record = crawl_web(web, ["http://wiki.local/lyon"], max_pages=1)
    moved, page = record.visits[:2]
    assert (moved.reason, moved.leads_to) == (Reason.REDIRECT, "http://wiki.local/Lyon")
    assert page.url == "http://wiki.local/Lyon"


def test_addresses_of_the_local_web():
    local = LocalPages("http://127.0.0.1:8000")
    for lasting, fetched in [
        ("http://wiki.local/", "http://127.0.0.1:8000/"),
        ("http://wiki.local/AC%2FDC", "http://127.0.0.1:8000/wiki/AC%2FDC"),
        ("http://other.example/wiki/x", "http://other.example/wiki/x"),
    ]:
        assert local.to_fetch(lasting) == fetched
        assert local.lasting(fetched) == lasting
    assert LocalPages(None).to_fetch("http://wiki.local/x") == "http://wiki.local/x"


@pytest.mark.skipif(not CORPUS.exists(), reason="the Wikispeedia corpus is not here")
def test_a_real_corpus_gives_its_own_links_back(tmp_path):
    with lzma.open(CORPUS, "rt", encoding="utf-8") as file:
        rows = [json.loads(next(file)) for _ in range(120)]
    web = web_of(rows, tmp_path)
    sources = {page.source: page.url for page in web.pages.values()}
    urls = {row["id"]: sources[row["url"]] for row in rows}
    wanted = {
        (urls[row["id"]], urls[link])
        for row in rows
        for link in row["links"]
        if link in urls and link != row["id"]
    }
    report, record = crawl_web(web, sorted(urls.values()))
    graph = PageGraph.of(record.finished)
    assert {(edge.source, edge.target) for edge in graph.edges} == wanted
    assert report.num_kept == 120
    assert {visit.language for visit in record.visits if visit.reason == Reason.KEPT} == {"en"}


@pytest.mark.browser
def test_a_browser_finds_the_same_graph(web):
    _, plain = crawl_web(web, ["http://wiki.local/Lyon"])
    _, seen = crawl_web(web, ["http://wiki.local/Lyon"], mode="browser")
    first, second = PageGraph.of(plain.finished), PageGraph.of(seen.finished)
    assert set(first.edges) == set(second.edges)
    assert {v.url: v.text for v in plain.visits} == {v.url: v.text for v in seen.visits}
