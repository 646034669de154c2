"""Lineage as trees for people: like things counted together, policies each in a tree of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.text import Text
from rich.tree import Tree

from deployments.cli.rows import printable
from deployments.cli.tables import percent
from tasks.lineage.tree import Edge, Lineage, Node

_PLURALS = {
    "score": "scores",
    "answer": "answers",
    "trajectory": "trajectories",
    "question": "questions",
    "page": "page snapshots",
    "policy": "policies",
    "sft_example": "SFT examples",
    "verdict": "verdicts",
    "artifact": "artifacts",
}
_ORDER = tuple(_PLURALS)
_SHORT = 12


def lineage_trees(down: Lineage, up: Lineage, shown: int | None) -> Iterator[Tree]:
    """The trees of one lineage: first its root with both directions, then every policy below.

    Args:
        down: What the root was made from.
        up: What it led to.
        shown: Most things of one sort that are shown in one place; None: all.
    """
    if down.edges or not up.edges:
        yield from _Drawing(down, shown, _below).trees("was made from")
    if up.edges:
        yield from _Drawing(up, shown, _above).trees("led to")


def _below(edge: Edge) -> tuple[Node, Node]:
    return edge.child, edge.parent


def _above(edge: Edge) -> tuple[Node, Node]:
    return edge.parent, edge.child


class _Drawing:
    """One direction of a lineage: where each node is drawn whole, and where it is only named."""

    def __init__(
        self, found: Lineage, shown: int | None, ends: Callable[[Edge], tuple[Node, Node]]
    ) -> None:
        self._found = found
        self._shown = shown
        self._next: dict[Node, dict[str, list[Node]]] = defaultdict(lambda: defaultdict(list))
        for edge in found.edges:
            here, there = ends(edge)
            if there not in self._next[here][there.type]:
                self._next[here][there.type].append(there)
        self._drawn: set[Node] = set()
        self._policies: list[Node] = []

    def trees(self, direction: str) -> Iterator[Tree]:
        """The root's tree, then one for each policy that is named in it or below."""
        root = self._found.root
        self._policies = [root]
        # The list grows while it is gone through: policies name further policies.
        for position, node in enumerate(self._policies):
            if position and not self._next.get(node):
                continue
            nothing = "" if self._next.get(node) else " nothing"
            label = f"{self._label(node).plain} {direction}{nothing}"
            tree = Tree(Text(label, style="bold"))
            self._drawn.add(node)
            self._grow(tree, node)
            yield tree

    def _grow(self, tree: Tree, node: Node) -> None:
        for kind in sorted(self._next.get(node, {}), key=_ORDER.index):
            nodes = self._next[node][kind]
            branch = tree
            few = nodes if self._shown is None else nodes[: self._shown]
            if len(nodes) > 1:
                branch = tree.add(_line(f"{len(nodes):,} {_PLURALS[kind]}{self._left_out(nodes)}"))
            for each in few:
                self._add(branch, each)

    def _left_out(self, nodes: list[Node]) -> str:
        if self._shown is None or len(nodes) <= self._shown:
            return ""
        return f", {self._shown} shown (--all)"

    def _add(self, branch: Tree, node: Node) -> None:
        label = self._label(node)
        if node.type == "policy":
            if node not in self._policies:
                self._policies.append(node)
            branch.add(label)
        elif node in self._drawn and self._next.get(node):
            branch.add(label.append(" (above)", style="dim"))
        else:
            self._drawn.add(node)
            self._grow(branch.add(label), node)

    def _label(self, node: Node) -> Text:
        return _line(_LABELS[node.type](node, self._found.nodes.get(node, {})))


def _line(text: str) -> Text:
    return Text(printable(" ".join(text.split())), no_wrap=True, overflow="ellipsis")


def _score(node: Node, row: Mapping[str, Any]) -> str:
    policy, _, benchmark = node.name.rpartition("/")
    interval = f"{percent(row.get('ci_low'))} to {percent(row.get('ci_high'))}"
    of = f"of {row.get('num_questions', '?')} questions right ({interval})"
    return f"score {benchmark}: {percent(row.get('accuracy'))}% {of}, policy {policy[:_SHORT]}"


def _answer(node: Node, row: Mapping[str, Any]) -> str:
    predicted = row.get("predicted")
    said = "no answer" if predicted is None else f"“{predicted}”"
    return f"answer {said}, {'right' if row.get('accuracy') else 'wrong'}"


def _trajectory(node: Node, row: Mapping[str, Any]) -> str:
    calls = row.get("num_tool_calls", 0)
    ending = f"{row.get('stop_reason', '?')}, {calls} call{'' if calls == 1 else 's'}"
    return f"trajectory {node.name} ({ending})"


def _question(node: Node, row: Mapping[str, Any]) -> str:
    return f"question {node.name}: {row.get('text', '')}"


def _page(node: Node, row: Mapping[str, Any]) -> str:
    return f"page {node.name[:_SHORT]} {row.get('title', '')} {row.get('url', '')}"


def _policy(node: Node, row: Mapping[str, Any]) -> str:
    if not row.get("stage"):
        return f"policy {node.name[:_SHORT]}, not in this store"
    return f"policy {node.name[:_SHORT]}, {row['stage']} of {row['run']}/{row['iteration']}"


def _example(node: Node, row: Mapping[str, Any]) -> str:
    return f"SFT example {node.name}"


def _verdict(node: Node, row: Mapping[str, Any]) -> str:
    parts = [str(row.get("reason", "?"))]
    if row.get("rank") is not None:
        parts.append(f"rank {row['rank']}")
    if row.get("reward") is not None:
        parts.append(f"reward {row['reward']:.2f}")
    return f"verdict {', '.join(parts)}"


def _artifact(node: Node, row: Mapping[str, Any]) -> str:
    kind, _, digest = node.name.rpartition("/")
    rows = "" if row.get("num_rows") is None else f", {row['num_rows']:,} rows"
    where = f", {row['stage']} of {row['run']}/{row['iteration']}" if row.get("stage") else ""
    return f"{kind} {digest[:_SHORT]}{rows}{where}"


_LABELS: Mapping[str, Callable[[Node, Mapping[str, Any]], str]] = {
    "score": _score,
    "answer": _answer,
    "trajectory": _trajectory,
    "question": _question,
    "page": _page,
    "policy": _policy,
    "sft_example": _example,
    "verdict": _verdict,
    "artifact": _artifact,
}
