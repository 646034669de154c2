"""What questions are written over: linked pairs, paths and meeting points of pages; and statistics.

Questions need a sentence that says why two pages are linked, so only links from running text and
lists lead from page to page here, unless others are asked for.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.fetching.outline import Place
from training.construction.crawl.graph import PageEdge, PageGraph

SAYING_PLACES: tuple[Place, ...] = ("text", "list")
"""Places of links that stand among words."""


# There are more ways than can be tried between pages of a hundred links.
_MOST_STEPS = 2_000


@dataclass(frozen=True, slots=True)
class GraphStatistics:
    """Figures of a page graph.

    Attributes:
        num_pages: Pages.
        num_edges: Linked pairs of pages.
        num_orphans: Pages that no other page links to.
        num_dead_ends: Pages that link to no other page.
        num_reciprocal: Pairs of pages that link to each other.
        largest_component: Pages of the largest part that hangs together, whatever the direction.
        max_depth: Most links from a root to a page.
    """

    num_pages: int
    num_edges: int
    num_orphans: int
    num_dead_ends: int
    num_reciprocal: int
    largest_component: int
    max_depth: int


def linked_pairs(
    graph: PageGraph, seed: int, places: Sequence[Place] = SAYING_PLACES
) -> Iterator[PageEdge]:
    """Links between two pages in random order, each once.

    Args:
        graph: The graph.
        seed: The same seed gives the same order.
        places: Where links may stand.
    """
    edges = [edge for edge in graph.edges if edge.place in places]
    random.Random(seed).shuffle(edges)
    yield from edges


def paths(
    graph: PageGraph,
    num_links: int,
    seed: int,
    max_degree: int = 500,
    places: Sequence[Place] = SAYING_PLACES,
) -> Iterator[tuple[PageEdge, ...]]:
    """Random paths of several links, at most one from each first page; no page twice.

    Args:
        graph: The graph.
        num_links: Links of a path.
        seed: The same seed gives the same paths.
        max_degree: Most links to a page between the ends; what everything links to (a year, a
            country) connects nothing.
        places: Where links may stand.
    """
    generator = random.Random(seed)
    starts = list(graph.titles)
    generator.shuffle(starts)
    for start in starts:
        path = _walk(graph, start, num_links, generator, max_degree, places)
        if path:
            yield path


def meetings(
    graph: PageGraph, seed: int, max_degree: int = 50, places: Sequence[Place] = SAYING_PLACES
) -> Iterator[tuple[PageEdge, PageEdge]]:
    """Pairs of links from two pages to a third one, for questions of intersection.

    Args:
        graph: The graph.
        seed: The same seed gives the same pairs; one for each page where two links meet.
        max_degree: Most links to that page: what everything links to is no answer.
        places: Where links may stand.
    """
    generator = random.Random(seed)
    targets = list(graph.titles)
    generator.shuffle(targets)
    for target in targets:
        links = graph.links_to(target)
        saying = [edge for edge in links if edge.place in places]
        if len(saying) >= 2 and len(links) <= max_degree:
            first, second = generator.sample(saying, 2)
            yield first, second


def hubs(graph: PageGraph, num: int) -> list[tuple[str, int]]:
    """The pages that most pages link to, with how many; equal ones by address."""
    counted = [(url, len(graph.links_to(url))) for url in graph.titles]
    return sorted(counted, key=lambda entry: (-entry[1], entry[0]))[:num]


def orphans(graph: PageGraph) -> list[str]:
    """Pages that no other page links to, such as roots."""
    return [url for url in graph.titles if not graph.links_to(url)]


def statistics(graph: PageGraph) -> GraphStatistics:
    """Figures of a graph."""
    pairs = {(edge.source, edge.target) for edge in graph.edges}
    return GraphStatistics(
        num_pages=len(graph.titles),
        num_edges=len(graph.edges),
        num_orphans=len(orphans(graph)),
        num_dead_ends=sum(not graph.links_of(url) for url in graph.titles),
        num_reciprocal=sum((b, a) in pairs for a, b in pairs if a < b),
        largest_component=max(map(len, _components(graph)), default=0),
        max_depth=max(graph.depths.values(), default=0),
    )


def _walk(
    graph: PageGraph,
    start: str,
    num_links: int,
    generator: random.Random,
    max_degree: int,
    places: Sequence[Place],
) -> tuple[PageEdge, ...]:
    """A random path, going back where it leads nowhere; empty where none is found."""
    visited, path = {start}, list[PageEdge]()
    choices = [_choices(graph, start, generator, places)]
    for _ in range(_MOST_STEPS):
        if not choices[-1]:
            choices.pop()
            if not path:
                break
            visited.discard(path.pop().target)
            continue
        edge = choices[-1].pop()
        ends = len(path) + 1 == num_links
        if edge.target in visited or not (ends or len(graph.links_to(edge.target)) <= max_degree):
            continue
        visited.add(edge.target)
        path.append(edge)
        if ends:
            return tuple(path)
        choices.append(_choices(graph, edge.target, generator, places))
    return ()


def _choices(
    graph: PageGraph, url: str, generator: random.Random, places: Sequence[Place]
) -> list[PageEdge]:
    edges = [edge for edge in graph.links_of(url) if edge.place in places]
    generator.shuffle(edges)
    return edges


def _components(graph: PageGraph) -> Iterator[set[str]]:
    left = dict.fromkeys(graph.titles)
    while left:
        start = next(iter(left))
        found, waiting = {start}, deque([start])
        while waiting:
            url = waiting.popleft()
            near = [edge.target for edge in graph.links_of(url)]
            near += [edge.source for edge in graph.links_to(url)]
            for other in near:
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        for url in found:
            del left[url]
        yield found
