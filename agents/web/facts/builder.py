"""Collects entities and facts, and holds what must be true of them all."""

from __future__ import annotations

from collections.abc import Iterable

from agents.web.facts.names import fold, page_title, page_url
from agents.web.graph import Entity, Fact, FactGraph

INVERSES = {
    "capital": "capital_of",
    "city": "airport",
    "continent": "includes",
    "country": "",
    "currency": "used_in",
    "discovery_country": "discovered_element",
    "language": "spoken_in",
    "neighbour": "",
}
"""Name of the fact that the target's page states in return; empty where it states none."""


class FactBuilder:
    """Gathers entities first and facts after them, then freezes both into a graph."""

    def __init__(self) -> None:
        self._entities: dict[str, Entity] = {}
        self._names: dict[str, str] = {}
        self._facts: list[Fact] = []
        self._seen: set[tuple[str, str, str]] = set()
        self._urls: set[str] = set()

    def add_entity(
        self, kind: str, key: str, name: str, aliases: Iterable[str] = (), title: str = ""
    ) -> str:
        """Adds an entity and returns its id.

        Args:
            kind: Kind of the entity, also the suffix of its title.
            key: Stable key within the kind, such as an ISO code.
            name: The name that facts give as value.
            aliases: Other names; those equal to the title's after folding are left out.
            title: Name inside the title where it differs from `name`.

        Raises:
            ValueError: Another entity has that id, or a title that folds to the same address.
        """
        entity_id = f"{kind}:{key}"
        full_title = page_title(title or name, kind)
        url = page_url(full_title)
        if entity_id in self._entities or url.casefold() in self._urls:
            raise ValueError(f"{entity_id} ({full_title}): this id or title is taken")
        self._urls.add(url.casefold())
        names = other(title or name, (name, *aliases))
        self._entities[entity_id] = Entity(entity_id, kind, full_title, url, names)
        self._names[entity_id] = name
        return entity_id

    def has(self, entity_id: str) -> bool:
        """Whether an entity of that id was added."""
        return entity_id in self._entities

    def add_value(
        self, subject: str, relation: str, value: str, aliases: Iterable[str] = ()
    ) -> None:
        """Adds a fact with a plain value; an empty value is no fact."""
        if value:
            self._append(Fact(subject, relation, value, None, other(value, aliases)))

    def link(self, subject: str, relation: str, target: str, aliases: Iterable[str] = ()) -> None:
        """Adds a fact between two entities, and the one that the target states in return."""
        self._append(self._link_fact(subject, relation, target, aliases))
        if INVERSES[relation]:
            self._append(self._link_fact(target, INVERSES[relation], subject, ()))

    def _link_fact(self, subject: str, relation: str, target: str, aliases: Iterable[str]) -> Fact:
        name, known = self._names[target], self._entities[target].aliases
        every = other(name, (*known, *aliases)) if known or aliases else ()
        return Fact(subject, relation, name, target, every)

    def _append(self, fact: Fact) -> None:
        key = (fact.subject, fact.relation, fact.target or fact.value)
        if key not in self._seen:
            self._seen.add(key)
            self._facts.append(fact)

    def build(self) -> FactGraph:
        """The graph, its facts in the order in which they were added."""
        return FactGraph(self._entities, tuple(self._facts))


def other(name: str, aliases: Iterable[str]) -> tuple[str, ...]:
    """The aliases that really differ from the name and from each other, in their order."""
    kept: dict[str, str] = {}
    for alias in aliases:
        if alias and alias != name and fold(alias) != fold(name):
            kept.setdefault(fold(alias), alias)
    return tuple(kept.values())
