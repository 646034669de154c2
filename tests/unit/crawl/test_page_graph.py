"""The page graph from visits, and what is drawn from it for questions."""

from __future__ import annotations

from itertools import pairwise

import pytest

from training.construction.crawl.graph import PageGraph, node_rows
from training.construction.crawl.paths import (
    hubs,
    linked_pairs,
    meetings,
    orphans,
    paths,
    statistics,
)
from training.construction.crawl.visits import FoundLink, Reason, Visit


def url(name):
    return f"http://a.example/{name}"


def visit(name, targets="", reason=Reason.KEPT, leads_to="", place="text"):
    links = tuple(FoundLink(url(t), t, f"about {t}", place, Reason.QUEUED) for t in targets.split())
    to = url(leads_to) if leads_to else ""
    return Visit(url(name), 1, reason, title=name, text=name, leads_to=to, links=links)


VISITS = [
    visit("a", "b c moved copy lost robot a"),
    visit("b", "c d"),
    visit("c", "a d"),
    visit("moved", reason=Reason.REDIRECT, leads_to="copy"),
    visit("copy", reason=Reason.DUPLICATE, leads_to="d"),
    visit("d", "e"),
    visit("e", ""),
    visit("island", "a", place="menu"),
    visit("robot", reason=Reason.ROBOTS),
    visit("circle", reason=Reason.REDIRECT, leads_to="circle2"),
    visit("circle2", reason=Reason.REDIRECT, leads_to="circle"),
]


@pytest.fixture
def graph():
    return PageGraph.of(lambda: VISITS)


def names(edges):
    return {(edge.source[-1], edge.target.rpartition("/")[2]) for edge in edges}


def test_edges_lead_to_what_stands_for_their_target(graph):
    assert list(graph.titles.values()) == ["a", "b", "c", "d", "e", "island"]
    assert names(graph.links_of(url("a"))) == {("a", "b"), ("a", "c"), ("a", "d")}
    assert {edge.source for edge in graph.links_to(url("d"))} == {url("a"), url("b"), url("c")}
    # `copy` and `moved` are one page, and the link to itself is none.
    assert graph.lost == {Reason.DUPLICATE: 2, Reason.QUEUED: 1, Reason.ROBOTS: 1}


def test_a_circle_of_redirects_ends():
    graph = PageGraph.of(lambda: [*VISITS, visit("f", "circle")])
    assert graph.lost[Reason.REDIRECT] == 1


def test_a_page_that_came_at_last_counts_as_kept():
    failed = visit("b", reason=Reason.FAILED)
    graph = PageGraph.of(lambda: [VISITS[0], failed, visit("b", "a")])
    assert names(graph.edges) == {("a", "b"), ("b", "a")}


def test_rows_have_every_visit(graph):
    rows = list(node_rows(VISITS))
    assert len(rows) == len(VISITS)
    assert rows[3].leads_to == url("copy")
    assert [row.status for row in rows].count(Reason.KEPT) == 6


def test_pairs_paths_and_meetings(graph):
    pairs = list(linked_pairs(graph, seed=1))
    assert pairs == list(linked_pairs(graph, seed=1))
    assert names(pairs) == {*names(graph.edges)} - {("d", "a")}
    assert all(pair.place == "text" for pair in pairs)
    for num in (1, 2, 3):
        found = list(paths(graph, num, seed=3))
        assert found
        for path in found:
            pages = [path[0].source, *(edge.target for edge in path)]
            assert len(set(pages)) == num + 1
            assert all(a.target == b.source for a, b in pairwise(path))
    # Only a way that visits all of a, b, c, d and e has four links, and each begins elsewhere.
    starts = {path[0].source for path in paths(graph, 4, seed=0)}
    assert starts == {url("a"), url("b"), url("c")}
    assert list(paths(graph, 5, seed=0)) == []
    assert list(paths(graph, 2, seed=0, max_degree=0)) == []
    for first, second in meetings(graph, seed=0):
        assert first.target == second.target
        assert first.source != second.source
    assert {first.target for first, _ in meetings(graph, seed=0)} == {url("c"), url("d")}
    assert list(meetings(graph, seed=0, max_degree=2)) != []
    assert {first.target for first, _ in meetings(graph, 0, max_degree=2)} == {url("c")}


def test_figures(graph):
    assert hubs(graph, 2) == [(url("d"), 3), (url("a"), 2)]
    assert orphans(graph) == [url("island")]
    found = statistics(graph)
    assert (found.num_pages, found.num_edges, found.num_orphans) == (6, 9, 1)
    assert (found.num_dead_ends, found.num_reciprocal, found.largest_component) == (1, 1, 6)
    assert statistics(PageGraph()).largest_component == 0
