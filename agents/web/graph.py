"""The fact graph: entities, and typed facts between them or to plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing with a page of its own.

    Attributes:
        entity_id: Stable id, such as `country:FR` or `city:2996944`.
        kind: `country`, `city`, `element`, `airport`, `currency`, `language`, ….
        title: Title of its page, unique in the web.
        url: Address of its page.
        aliases: Other names by which an answer may call it.
    """

    entity_id: str
    kind: str
    title: str
    url: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: a subject, a relation, and an entity or a plain value.

    Attributes:
        subject: Entity id.
        relation: Name of the relation.
        value: The value as text; the entity's name where `target` is set.
        target: Entity id that the value names, None for plain values.
        aliases: Other accepted ways to write the value.
    """

    subject: str
    relation: str
    value: str
    target: str | None = None
    aliases: tuple[str, ...] = ()


class FactGraph:
    """Entities and facts, with look-ups in both directions; immutable after construction."""

    def __init__(self, entities: Mapping[str, Entity], facts: tuple[Fact, ...]) -> None:
        self.entities = dict(entities)
        self.facts = facts
        self._by_subject: dict[str, dict[str, list[Fact]]] = {}
        self._by_target: dict[tuple[str, str], list[Fact]] = {}
        for fact in facts:
            self._by_subject.setdefault(fact.subject, {}).setdefault(fact.relation, []).append(fact)
            if fact.target is not None:
                self._by_target.setdefault((fact.relation, fact.target), []).append(fact)

    def of(self, entity_id: str, relation: str) -> list[Fact]:
        """All facts of one relation of one entity."""
        return self._by_subject.get(entity_id, {}).get(relation, [])

    def relations(self, entity_id: str) -> Mapping[str, list[Fact]]:
        """All facts of one entity by relation."""
        return self._by_subject.get(entity_id, {})

    def pointing_at(self, relation: str, target: str) -> list[Fact]:
        """All facts of one relation that lead to one entity."""
        return self._by_target.get((relation, target), [])

    def of_kind(self, kind: str) -> Iterator[Entity]:
        """All entities of one kind, in order of their ids."""
        return (self.entities[i] for i in sorted(self.entities) if self.entities[i].kind == kind)
