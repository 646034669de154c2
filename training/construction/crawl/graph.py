"""The page graph: a crawl's pages and the links between them, as plain rows and as one object.

Rows are made from the record of visits as they pass, texts included; the graph itself holds no
texts, so that it stays small beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from agents.fetching.outline import Place
from training.construction.crawl.visits import STANDS_FOR_ANOTHER, Reason, Visit


@dataclass(frozen=True, slots=True)
class PageNode:
    """One visited address.

    Attributes:
        url: Canonical address.
        title: Title.
        text_digest: SHA-256 of the text.
        text: Text; empty unless the page was kept.
        depth: Links from a root to it.
        status: What became of it.
        leads_to: Address that stands for it, of redirects and duplicates.
        language: Its language, two letters; empty where that is not known.
    """

    url: str
    title: str
    text_digest: str
    text: str
    depth: int
    status: Reason
    leads_to: str
    language: str


@dataclass(frozen=True, slots=True)
class PageEdge:
    """One link between two kept pages.

    Attributes:
        source: Canonical address of the page that it stands on.
        target: Canonical address of the page that it leads to, redirects and duplicates followed.
        anchor: Its text.
        context: The words around it.
        place: Where it stands.
    """

    source: str
    target: str
    anchor: str
    context: str
    place: Place


def node_rows(visits: Iterable[Visit]) -> Iterator[PageNode]:
    """Rows of all visited addresses, one for each visit."""
    for visit in visits:
        yield PageNode(
            visit.url,
            visit.title,
            visit.text_digest,
            visit.text,
            visit.depth,
            visit.reason,
            visit.leads_to if visit.reason in STANDS_FOR_ANOTHER else "",
            visit.language,
        )


@dataclass(slots=True)
class PageGraph:
    """The kept pages and their links.

    Attributes:
        titles: Title of each kept page, in the order in which they were.
        depths: Links from a root to each.
        edges: Each pair of linked pages once, in the order of their sources.
        lost: Links of kept pages that are no edge, by the reason why their target is no page; a
            second link to the same page and one to the page itself count as `duplicate`.
    """

    titles: dict[str, str] = field(default_factory=dict)
    depths: dict[str, int] = field(default_factory=dict)
    edges: list[PageEdge] = field(default_factory=list)
    lost: Counter[Reason] = field(default_factory=Counter)
    _out: dict[str, list[PageEdge]] = field(default_factory=dict)
    _into: dict[str, list[PageEdge]] = field(default_factory=dict)

    @classmethod
    def of(cls, visits: Callable[[], Iterable[Visit]]) -> PageGraph:
        """Makes the graph of a crawl.

        Args:
            visits: Gives the visits on record; called twice, since a link may lead to what was
                visited later.
        """
        graph = cls()
        statuses: dict[str, Reason] = {}
        stands_for: dict[str, str] = {}
        for visit in visits():
            # A page that could not be fetched at first has a second row.
            statuses[visit.url] = visit.reason
            if visit.reason in STANDS_FOR_ANOTHER:
                stands_for[visit.url] = visit.leads_to
            if visit.reason == Reason.KEPT:
                graph.titles[visit.url] = visit.title
                graph.depths[visit.url] = visit.depth
        for visit in visits():
            if visit.reason == Reason.KEPT:
                graph._add_links(visit, statuses, stands_for)
        return graph

    def links_of(self, url: str) -> list[PageEdge]:
        """Links of a page."""
        return self._out.get(url, [])

    def links_to(self, url: str) -> list[PageEdge]:
        """Links to a page."""
        return self._into.get(url, [])

    def _add_links(
        self, visit: Visit, statuses: dict[str, Reason], stands_for: dict[str, str]
    ) -> None:
        targets: set[str] = {visit.url}
        for link in visit.links:
            target = link.url
            for _ in range(len(stands_for)):
                if target not in stands_for:
                    break
                target = stands_for[target]
            if target not in self.titles:
                self.lost[statuses.get(target, link.reason)] += 1
            elif target in targets:
                self.lost[Reason.DUPLICATE] += 1
            else:
                targets.add(target)
                edge = PageEdge(visit.url, target, link.anchor, link.context, link.place)
                self.edges.append(edge)
                self._out.setdefault(visit.url, []).append(edge)
                self._into.setdefault(target, []).append(edge)
