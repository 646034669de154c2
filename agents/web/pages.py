"""Pages of the web: what a page is, and the fact pages written from the graph.

A page's text holds one sentence a line (a blank line between paragraphs), so that passages are
cut at sentences without guessing where they end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from agents.web.analysis import base_title
from agents.web.graph import Entity, FactGraph
from agents.web.sentences import DEFINING, definition, fact_sentence, hint_of

# How likely a page of this kind is meant when its name is asked for; population adds to it.
_KIND_PROMINENCE = {
    "country": 0.7,
    "continent": 0.7,
    "element": 0.6,
    "currency": 0.5,
    "language": 0.5,
    "city": 0.25,
}
_OTHER_PROMINENCE = 0.2
_POPULATION_PROMINENCE = 0.3
_MOST_POPULATION = 1e10


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another page."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the web.

    Attributes:
        url: Canonical address.
        title: Unique title.
        kind: Kind of its entity; `article` for a Wikipedia lead, `page` for one's own corpus.
        text: Plain text, one sentence a line.
        links: Pages it leads to.
        names: Other names by which its subject is looked for.
        hints: One for each line of `text`: words by which that line is asked for without
            holding them; empty where there are none.
        prominence: From 0 to 1; decides between pages that match a query equally well.
        source: Where the text comes from, to be credited; empty for fact pages.
    """

    url: str
    title: str
    kind: str
    text: str
    links: tuple[Link, ...] = ()
    names: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    prominence: float = 0.0
    source: str = ""


def fact_pages(graph: FactGraph) -> list[Page]:
    """Writes the page of every entity, in the graph's order."""
    return [_fact_page(entity, graph) for entity in graph.entities.values()]


def _fact_page(entity: Entity, graph: FactGraph) -> Page:
    name = base_title(entity.title)
    relations = graph.relations(entity.entity_id)
    defining = [relation for relation in DEFINING if relation in relations][:1]
    lines = [] if defining else [definition(name, entity.kind)]
    hints = [] if defining else [""]
    links: dict[str, Link] = {}
    for relation in [*defining, *(r for r in relations if r not in defining)]:
        facts = relations[relation]
        values = list(dict.fromkeys(fact.value for fact in facts))
        lines.append(fact_sentence(name, entity.kind, relation, values))
        hints.append(hint_of(relation))
        for fact in facts:
            if fact.target is not None:
                target = graph.entities[fact.target]
                links.setdefault(target.url, Link(target.title, target.url))
    # `Springfield, United States` is looked for as `Springfield`, too.
    short = name.split(", ")[0]
    names = entity.aliases if short == name else (short, *entity.aliases)
    return Page(
        url=entity.url,
        title=entity.title,
        kind=entity.kind,
        text="\n".join(lines),
        links=tuple(links.values()),
        names=names,
        hints=tuple(hints),
        prominence=_prominence(entity, graph),
    )


def _prominence(entity: Entity, graph: FactGraph) -> float:
    prominence = _KIND_PROMINENCE.get(entity.kind, _OTHER_PROMINENCE)
    for fact in graph.of(entity.entity_id, "population"):
        digits = fact.value.replace(",", "")
        if digits.isdigit():
            share = math.log(1 + int(digits)) / math.log(_MOST_POPULATION)
            prominence += _POPULATION_PROMINENCE * min(share, 1.0)
    return min(prominence, 1.0)
