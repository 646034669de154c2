"""The fact graph as a file, so that a process that needs it need not read the tables again."""

from __future__ import annotations

import json
from pathlib import Path

from agents.errors import AssetError
from agents.web.graph import Entity, Fact, FactGraph


def write_graph(path: Path, graph: FactGraph) -> None:
    """Writes a graph; entities and facts keep their order."""
    entities = graph.entities.values()
    document = {
        "entities": [[e.entity_id, e.kind, e.title, e.url, e.aliases] for e in entities],
        "facts": [[f.subject, f.relation, f.value, f.target, f.aliases] for f in graph.facts],
    }
    path.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")), "utf-8")


def read_graph(path: Path) -> FactGraph:
    """Reads a graph that `write_graph` wrote.

    Raises:
        AssetError: The file cannot be read.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
        entities = [
            Entity(entity_id, kind, title, url, tuple(aliases))
            for entity_id, kind, title, url, aliases in document["entities"]
        ]
        facts = tuple(
            Fact(subject, relation, value, target, tuple(aliases))
            for subject, relation, value, target, aliases in document["facts"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssetError(f"the fact graph {path} cannot be read: {error}") from error
    return FactGraph({entity.entity_id: entity for entity in entities}, facts)
