"""Which entity may start a question of which split.

Every entity belongs to one part by a fixed hash: training, gate or held-out. The parts do not
depend on the run's seed, so a question held out in one run was never trained on in another.
A capital and a currency used in one country alone go with their country, an airport goes with the
city that it serves: else a description of an entity could stand in another part than the entity.
"""

from __future__ import annotations

from typing import Literal

from agents.randomness import derive_seed
from agents.web.graph import Entity, FactGraph

Part = Literal["train", "gate", "held_out"]

GATE_SHARE = 0.06
HELD_OUT_SHARE = 0.22
_SALT = "evolvesearch questions, split 1"

STARTING_KINDS = frozenset({"airport", "city", "country", "currency", "element"})
"""Kinds of entities that a question can start from."""


class Splits:
    """The parts of a graph's entities."""

    def __init__(self, graph: FactGraph) -> None:
        self._graph = graph
        self._parts: dict[str, Part] = {}
        self._kinds: dict[str, list[Entity]] = {}
        for _, entity in sorted(graph.entities.items()):
            self._kinds.setdefault(entity.kind, []).append(entity)

    def members(self, kind: str, part: Part | None = None) -> list[Entity]:
        """Entities of one kind that belong to a part (None: to any), in order of their ids."""
        every = self._kinds.get(kind, [])
        return [e for e in every if part is None or self.part_of(e.entity_id) == part]

    def part_of(self, entity_id: str) -> Part:
        """The part that an entity belongs to."""
        part = self._parts.get(entity_id)
        if part is None:
            part = self._parts[entity_id] = self._decide(entity_id)
        return part

    def trainable(self, touched: frozenset[str]) -> bool:
        """Whether a chain through these entities may be trained on.

        No entity that starts a held-out or gate question may occur in it, in any place.
        """
        return all(self.part_of(entity_id) == "train" for entity_id in touched)

    def _decide(self, entity_id: str) -> Part:
        kind = self._graph.entities[entity_id].kind
        if kind == "element":
            return "held_out"
        if kind not in STARTING_KINDS:
            return "train"
        if kind == "currency" and len(self._graph.of(entity_id, "used_in")) != 1:
            # It identifies no country by itself, so no question starts from it.
            return "train"
        anchor = self._anchor(entity_id, kind)
        if anchor != entity_id:
            return self.part_of(anchor)
        fraction = derive_seed(_SALT, entity_id) / 2**63
        if fraction < HELD_OUT_SHARE:
            return "held_out"
        return "gate" if fraction < HELD_OUT_SHARE + GATE_SHARE else "train"

    def _anchor(self, entity_id: str, kind: str) -> str:
        """The entity with which this one shares its part."""
        relation = {"airport": "city", "city": "capital_of", "currency": "used_in"}.get(kind, "")
        for fact in self._graph.of(entity_id, relation):
            if fact.target is not None:
                return fact.target
        return entity_id
