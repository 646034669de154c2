"""Lineage of one thing in the store, row by row: what it was made from, and what it led to.

A benchmark's score is the mean of answers; an answer ends a trajectory; a trajectory was sampled
by a policy, asks a question and saw pages; a policy was trained on SFT examples, on trajectories
of RL, and started from another policy; an SFT example was kept by a verdict on a trajectory.
`lineage_down` follows these steps to their ends, `lineage_up` follows them back up to the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.lineage.store import LineageStore

TYPES = (
    "score",
    "answer",
    "trajectory",
    "question",
    "page",
    "policy",
    "sft_example",
    "verdict",
    "artifact",
)
"""Every type of node."""


@dataclass(frozen=True, slots=True)
class Node:
    """One thing in the store.

    Attributes:
        type: One of `TYPES`.
        name: Its name among those of its type: an id, a digest, or parts joined by `/`.
        artifact: Digest of the table that holds it, where its name is unique only there.
    """

    type: str
    name: str
    artifact: str = ""

    @property
    def node_id(self) -> str:
        """Its id in documents, which is also a reference to it."""
        suffix = f"@{self.artifact[:12]}" if self.artifact else ""
        return f"{self.type}:{self.name}{suffix}"


@dataclass(frozen=True, slots=True)
class Edge:
    """One step: the child was made from the parent.

    Attributes:
        child: What was made.
        parent: What it was made from.
        relation: How: `mean_of`, `measures`, `answered_by`, `asks`, `sampled_by`, `saw`,
            `trained_on`, `started_from`, `kept_by`, `judges` or `made_from`.
    """

    child: Node
    parent: Node
    relation: str


@dataclass
class Lineage:
    """What a walk found.

    Attributes:
        root: Where it began.
        nodes: What is known of each node.
        edges: The steps, in the order they were found.
    """

    root: Node
    nodes: dict[Node, dict[str, Any]] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)


Places = dict[Node, str]
"""The table in which a node's own row lies."""


class Walk:
    """One walk through a store; `steps` finds the edges of all nodes of one type and table.

    Args:
        store: What is read.
        root: Where it begins.
        place: The table that holds the root's row; empty: that of its own name.
    """

    def __init__(self, store: LineageStore, root: Node, place: str = "") -> None:
        self.store = store
        self.found = Lineage(root)
        self.places: Places = {root: place or root.artifact}

    def run(
        self, steps: Mapping[str, Callable[[Walk, str, list[Node]], Iterable[Edge]]]
    ) -> Lineage:
        """Follows steps from the root until nothing new is found.

        Args:
            steps: By type of node: the edges of nodes of one table, given that table.

        Raises:
            StoreError: A table is missing or damaged.
        """
        known = {self.found.root}
        frontier = [self.found.root]
        seen: set[Edge] = set()
        while frontier:
            groups: dict[tuple[str, str], list[Node]] = {}
            for node in frontier:
                groups.setdefault((node.type, self.places.get(node, "")), []).append(node)
            frontier = []
            for (kind, place), nodes in groups.items():
                self._describe(kind, place, nodes)
                for edge in steps[kind](self, place, nodes) if kind in steps else ():
                    if edge not in seen:
                        seen.add(edge)
                        self.found.edges.append(edge)
                    for node in (edge.child, edge.parent):
                        if node not in known:
                            known.add(node)
                            frontier.append(node)
        return self.found

    def at(self, node: Node, place: str) -> Node:
        """Notes in which table a node's row lies, unless that is known already."""
        self.places.setdefault(node, place)
        return node

    def _describe(self, kind: str, place: str, nodes: list[Node]) -> None:
        if kind in ("policy", "artifact"):
            for node in nodes:
                self.found.nodes[node] = self._artifact(node.name.rpartition("/")[2])
            return
        rows = self.store.rows(place, [node.name for node in nodes])
        rewards: Mapping[str, Mapping[str, Any]] = {}
        if kind == "verdict":
            rewards = self.store.rows(
                self.store.beside(place, "rewards"), [node.name for node in nodes]
            )
        for node in nodes:
            said = dict(rows.get(node.name, {}))
            said.pop("page_views", None)
            if node.name in rewards:
                said["reward"] = rewards[node.name]["total"]
            self.found.nodes[node] = said

    def _artifact(self, digest: str) -> dict[str, Any]:
        artifact = self.store.artifacts.get(digest)
        if artifact is None:
            return {"digest": digest, "in_store": False}
        return {
            "kind": artifact.kind,
            "digest": digest,
            "stage": artifact.key.rpartition("-")[0],
            "reference": f"{artifact.key}/{artifact.name}",
            "run": artifact.run,
            "iteration": artifact.iteration,
            "num_rows": artifact.num_rows,
            "created_at": artifact.created_at,
        }


def document(text: str, down: Lineage, up: Lineage) -> dict[str, Any]:
    """Both walks of one root as a JSON document; `docs/catalog.md` describes it.

    Args:
        text: The reference that was asked for.
        down: What the root was made from.
        up: What it led to.
    """
    nodes = {**up.nodes, **down.nodes}
    return {
        "ref": text,
        "root": down.root.node_id,
        "nodes": [
            {"id": node.node_id, "type": node.type, **_own(node), **said}
            for node, said in nodes.items()
        ],
        "edges": [
            {
                "child": edge.child.node_id,
                "parent": edge.parent.node_id,
                "relation": edge.relation,
                "direction": direction,
            }
            for direction, found in (("made_from", down), ("led_to", up))
            for edge in found.edges
        ],
        "counts": {"made_from": _counts(down), "led_to": _counts(up)},
    }


def _own(node: Node) -> dict[str, str]:
    return {"artifact": node.artifact} if node.artifact else {}


def _counts(found: Lineage) -> dict[str, int]:
    counts = dict.fromkeys(TYPES, 0)
    for node in found.nodes:
        if node != found.root:
            counts[node.type] += 1
    return {kind: count for kind, count in counts.items() if count}
