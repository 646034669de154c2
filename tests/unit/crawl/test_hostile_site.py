"""A whole crawl of a site full of traps: what is kept, what is not and why, nothing twice."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

import pytest
from crawl_record import FileRecord, ListRecord
from hostile_site import NUM_ARTICLES, _SiteHandler, page

from agents.config import VisitConfig
from agents.errors import UsageError
from agents.fetching.outline import MAX_LINKS
from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.graph import PageGraph
from training.construction.crawl.run import crawl
from training.construction.crawl.visits import Reason

pytestmark = pytest.mark.hostile


@pytest.fixture(scope="module")
def crawled(crawl_site, site):
    site.hits.clear()
    report, record = crawl_site()
    by_path = {v.url.removeprefix(site.url): v for v in record.visits}
    return report, record, by_path, Counter(site.hits)


def test_all_traps_of_a_site_are_left_with_their_reason(crawled, site):
    report, record, by_path, _ = crawled
    assert report.stopped_by == ""
    reasons = {path: visit.reason for path, visit in by_path.items()}
    assert reasons == reasons | {
        "/": Reason.KEPT,
        **{f"/article/{number}": Reason.KEPT for number in range(NUM_ARTICLES)},
        "/image": Reason.NOT_HTML,
        "/pdf": Reason.NOT_HTML,
        "/plain": Reason.NOT_HTML,
        "/german": Reason.OTHER_LANGUAGE,
        "/moved": Reason.REDIRECT,
        "/spelling": Reason.KEPT,
        "/private": Reason.ROBOTS,
        "/500": Reason.FAILED,
        "/gone": Reason.MISSING,
        "/noindex": Reason.NOINDEX,
        "/only-by-noindex": Reason.KEPT,
        "/empty": Reason.NO_TEXT,
        "/behind-empty": Reason.KEPT,
    }
    # Which of two copies comes first is chance, and so is where a circle is noticed.
    assert sorted([reasons["/copy/1"], reasons["/copy/2"]]) == [Reason.DUPLICATE, Reason.KEPT]
    assert sorted([reasons["/near/1"], reasons["/near/2"]]) == [Reason.KEPT, Reason.NEAR_DUPLICATE]
    assert {reasons["/loop"], reasons["/loop2"]} == {Reason.REDIRECT, Reason.REDIRECT_LOOP}
    chain = [reason for path, reason in reasons.items() if path.startswith("/chain/")]
    assert Counter(chain) == {Reason.REDIRECT: 5, Reason.REFUSED: 1}
    for path in ("/behind-german", "/behind-nofollow", "/file.zip"):
        assert path not in by_path
    assert len(by_path) == len(record.visits)
    assert report.addresses == report.addresses | {
        Reason.OFF_SITE: 1,
        Reason.MALFORMED: 3,
        Reason.ROBOTS: 1,
    }
    assert report.addresses[Reason.NOT_HTML] == 4
    assert report.links[Reason.NOFOLLOW] == 1
    assert sum(report.addresses.values()) > len(record.visits)


def test_endless_spaces_end(crawled):
    report, _, by_path, _ = crawled
    visited = Counter(urlsplit(path).path.split("/")[1] for path in by_path)
    # Seven queries of the shop, three months; the maze's paths may not go round three times.
    assert visited["shop"] <= 7
    assert visited["calendar"] <= 3
    assert report.addresses[Reason.ENDLESS_QUERY] > 10
    assert report.addresses[Reason.CALENDAR] > 1
    assert report.addresses[Reason.LOOPING_PATH] > 1
    assert visited["maze"] < 20
    # Session ids make no new pages.
    assert {path for path in by_path if path.startswith("/item")} == {
        f"/item?id={number}" for number in range(4)
    }


def test_nothing_is_fetched_twice(crawled):
    again = {path: num for path, num in crawled[-1].items() if num > 1}
    # A failed one is tried again; queries share a path, and the spelling was asked for by the site.
    assert set(again) == {"/500", "/shop", "/item", "/spelling"}
    assert (again["/500"], again["/item"], again["/spelling"]) == (2, 4, 2)


def test_the_graph_follows_redirects_and_copies(crawled, site):
    _, record, by_path, _ = crawled
    graph = PageGraph.of(record.finished)
    home = f"{site.url}/"
    targets = {edge.target.removeprefix(site.url) for edge in graph.links_of(home)}
    assert {"/article/3", "/spelling"} <= targets
    [copy] = [path for path in ("/copy/1", "/copy/2") if by_path[path].reason == Reason.KEPT]
    assert copy in targets
    assert set(graph.titles) == record.kept()
    assert all(edge.target in graph.titles for edge in graph.edges)
    assert len({(edge.source, edge.target) for edge in graph.edges}) == len(graph.edges)
    context = next(e for e in graph.links_of(home) if e.target.endswith("/article/3")).context
    assert context == "See the /article/3."
    assert graph.lost[Reason.ROBOTS] == 1
    num_links = sum(len(v.links) for v in record.visits if v.reason == Reason.KEPT)
    assert len(graph.edges) + sum(graph.lost.values()) == num_links


@pytest.mark.parametrize(
    ("limit", "changes"),
    [
        ("max_pages", {"max_pages": 5}),
        ("max_visits", {"max_visits": 6}),
        ("max_total_bytes", {"max_total_bytes": 3_000}),
        ("max_seconds", {"max_seconds": 1e-9}),
    ],
)
def test_limits_end_a_crawl_and_are_named(crawl_site, limit, changes):
    report, record = crawl_site(**changes)
    assert report.stopped_by == limit
    assert report.num_kept <= changes.get("max_pages", 100)
    assert report.num_visits <= changes.get("max_visits", 100)
    assert report.addresses[Reason.QUEUED] > 0
    if limit == "max_pages":
        assert report.num_kept == 5
    if limit == "max_seconds":
        assert record.visits == []


def test_depth_and_links_are_limited(crawl_site):
    report, record = crawl_site(max_depth=1, max_links=4)
    assert {visit.depth for visit in record.visits} == {0, 1}
    assert report.addresses[Reason.TOO_DEEP] > 0
    assert report.links[Reason.TOO_MANY_LINKS] > 5


def test_links_that_are_not_even_read_are_counted(crawl_site, site, monkeypatch):
    many = page("many", *(f"/article/{n % NUM_ARTICLES}?n={n}" for n in range(MAX_LINKS + 50)))
    monkeypatch.setattr(_SiteHandler, "page_home", lambda self: self.answer(many))
    report, record = crawl_site(max_pages=1, max_links=10)
    assert len(record.visits[0].links) == MAX_LINKS
    assert report.links[Reason.TOO_MANY_LINKS] == MAX_LINKS + 50 - 10


def test_a_crawl_that_was_interrupted_fetches_nothing_again(crawl_site, site):
    whole, _ = crawl_site(at_once=1)
    site.hits.clear()

    class Breaking(ListRecord):
        def keep(self, visit):
            super().keep(visit)
            if len(self.visits) == 20:
                raise KeyboardInterrupt

    broken = Breaking()
    with pytest.raises(KeyboardInterrupt):
        crawl_site(broken, at_once=1)
    visited = Counter(site.hits)
    report, record = crawl_site(ListRecord(broken.visits), at_once=1)
    assert report.num_replayed == 20 - sum(v.reason == Reason.FAILED for v in broken.visits)
    assert record.kept() == {v.url for v in record.visits if v.reason == Reason.KEPT}
    # The same crawl as one that nobody interrupted: what is queued, counted and kept.
    assert report.addresses == whole.addresses
    assert report.num_kept == whole.num_kept
    for path in visited - Counter({"/robots.txt": 1}):
        if path not in ("/shop", "/item", "/500", "/spelling"):
            assert site.hits[path] == 1, path


def test_a_record_in_a_file_is_the_same_record(crawl_site, tmp_path):
    _, record = crawl_site(max_pages=10)
    kept = FileRecord(tmp_path / "visits.jsonl")
    for visit in record.visits:
        kept.keep(visit)
    assert list(kept.finished()) == record.visits


def test_a_failed_page_is_tried_again_by_the_next_part(crawl_site, site):
    _, record = crawl_site()
    site.hits.clear()
    report, record = crawl_site(record)
    assert dict(site.hits) == {"/robots.txt": 1, "/500": 2}
    assert [v.reason for v in record.visits if v.url.endswith("/500")] == [Reason.FAILED] * 2
    assert report.addresses[Reason.FAILED] == 1


def test_a_site_that_rests_is_waited_for(crawl_site, site, monkeypatch):
    # Two failures in a row close the gate; its pages are not lost by that.
    visit = {"host_failures": 1, "host_rest_s": 0.2, "retries": 0}
    report, record = crawl_site(visit=visit)
    assert record.kept() >= {f"{site.url}/article/{number}" for number in range(NUM_ARTICLES)}
    assert report.addresses[Reason.FAILED] == 1


def test_hosts_that_keep_failing_are_given_up_and_left_in_the_queue(crawl_site, site):
    roots = [f"{site.url}/500?number={number}" for number in range(7)]
    visit = {"host_failures": 1, "host_rest_s": 0.05, "retries": 0, "max_per_host": 1}
    report, record = crawl_site(visit=visit, roots=roots)
    assert report.stopped_by == "failing_hosts"
    assert {v.reason for v in record.visits} == {Reason.FAILED}
    assert report.addresses == {
        Reason.QUEUED: 7 - len(record.visits),
        Reason.FAILED: len(record.visits),
    }
    assert 2 <= len(record.visits) < 7


async def test_roots_that_cannot_be_crawled_are_said_in_a_line():
    record = ListRecord()
    for roots, visit, said in [
        ((), {}, "at least one root"),
        (("ftp://a.example/",), {}, "not an http or https address"),
        (("http://a.example/",), {"mode": "http"}, "agents.visit.live"),
        (("http://wiki.local/Lyon",), {}, "not served here"),
    ]:
        with pytest.raises(UsageError, match=said):
            await crawl(CrawlConfig(roots=roots), VisitConfig.model_validate(visit), record)
