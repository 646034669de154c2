"""Chains of facts, and the check that a chain has exactly one right answer.

A chain starts from clues. A clue names an entity and either means that entity itself, or what one
of its relations leads to ("the city served by …"). Several clues mean what they have in common
("borders … and uses …"). From there the chain follows relations, one fact each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from agents.trajectory import Hop
from agents.web.facts.names import fold, page_name
from agents.web.graph import Entity, Fact, FactGraph


@dataclass(frozen=True, slots=True)
class Clue:
    """What a question says of the entity that its chain starts from.

    Attributes:
        entity: The entity that the question names.
        relation: Relation from the named to the meant entity; empty where they are the same.
    """

    entity: Entity
    relation: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """A question before it is worded.

    Attributes:
        family: Family of chains it belongs to.
        opening: How the clues are worded; a key of `templates.OPENINGS`.
        clues: What identifies the entity from which the path starts.
        path: Relations to follow, the last one leads to the answer.
    """

    family: str
    opening: str
    clues: tuple[Clue, ...]
    path: tuple[str, ...]

    @property
    def start(self) -> Entity:
        """The starting entity: the first that the question names."""
        return self.clues[0].entity

    @property
    def num_hops(self) -> int:
        """Number of facts that must be found."""
        return sum(bool(clue.relation) for clue in self.clues) + len(self.path)

    @property
    def key(self) -> str:
        """Identifies the chain: what is named, and which relations lead from there."""
        clues = "&".join(f"{clue.entity.entity_id}>{clue.relation}" for clue in self.clues)
        return f"{clues}|{'>'.join(self.path)}"


@dataclass(frozen=True, slots=True)
class Solution:
    """A chain followed to its end.

    Attributes:
        hops: The facts in order.
        answers: The right answer and its aliases.
        touched: Ids of all entities that the chain names or passes.
    """

    hops: tuple[Hop, ...]
    answers: tuple[str, ...]
    touched: frozenset[str]


class Solver:
    """Follows chains through a graph, and refuses those that could mean more than one thing."""

    def __init__(self, graph: FactGraph) -> None:
        self._graph = graph
        self._named: dict[tuple[str, str], set[str]] = defaultdict(set)
        for entity in graph.entities.values():
            for name in (page_name(entity.title), *entity.aliases):
                self._named[entity.kind, fold(name)].add(entity.entity_id)

    def solve(self, chain: Chain) -> Solution | None:
        """The chain's facts and answers, None unless every step has exactly one outcome.

        Each name is looked up among the names and aliases of all entities of its kind, and each
        step among all facts of the graph.
        """
        meant = self._meant(chain)
        if len(meant) != 1:
            return None
        current = next(iter(meant))
        hops = [
            hop for clue in chain.clues if clue.relation for hop in self._clue_hops(clue, current)
        ]
        touched = [clue.entity.entity_id for clue in chain.clues if clue.relation] + [current]
        fact: Fact | None = None
        for relation in chain.path:
            if fact is not None:
                if fact.target is None:
                    return None
                current = fact.target
                touched.append(current)
            facts = self._graph.of(current, relation)
            if len(facts) != 1:
                return None
            fact = facts[0]
            subject = self._graph.entities[current]
            hops.append(Hop(subject.title, relation, fact.value, subject.url))
        if fact is None or not self._straight(touched, hops):
            return None
        if fact.target is not None:
            touched.append(fact.target)
        return Solution(tuple(hops), (fact.value, *fact.aliases), frozenset(touched))

    def _straight(self, visited: list[str], hops: list[Hop]) -> bool:
        """Whether the chain has no short cut, and each page on its way can be found by name.

        Args:
            visited: Ids of the entities whose pages state the hops, in order.
            hops: The hops; the last leads to the answer.
        """
        if len(set(visited)) < len(visited):
            return False
        answer = fold(hops[-1].value)
        for hop in hops[:-1]:
            if fold(hop.value) == answer:
                return False
        names = {page_name(self._graph.entities[entity_id].title) for entity_id in visited}
        return all(hop.value in names for hop in hops[:-1])

    def _meant(self, chain: Chain) -> set[str]:
        """Ids of all entities that fit every clue."""
        sets = []
        for clue in chain.clues:
            named = self._named[clue.entity.kind, fold(page_name(clue.entity.title))]
            if not clue.relation:
                sets.append(named)
                continue
            facts = [f for entity in named for f in self._graph.of(entity, clue.relation)]
            sets.append({fact.target for fact in facts if fact.target is not None})
        return set.intersection(*sets)

    def _clue_hops(self, clue: Clue, meant: str) -> Iterator[Hop]:
        """The fact that leads from the named to the meant entity."""
        for fact in self._graph.of(clue.entity.entity_id, clue.relation):
            if fact.target == meant:
                yield Hop(clue.entity.title, clue.relation, fact.value, clue.entity.url)
