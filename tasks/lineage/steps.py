"""The steps of lineage: for each type of node, what it was made from and what it led to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from tasks.lineage.store import LineageStore
from tasks.lineage.tree import Edge, Lineage, Node, Walk

_OF_TRAINING = frozenset({"rollout", "rl"})
"""Sources of trajectories that policies are trained on."""


def lineage_down(store: LineageStore, root: Node, place: str = "") -> Lineage:
    """What a node was made from, to the page snapshots and the questions.

    Args:
        store: The store.
        root: The node.
        place: The table that holds its row, where its name does not say it.

    Raises:
        StoreError: A table is missing or damaged.
    """
    return Walk(store, root, place).run(_DOWN)


def lineage_up(store: LineageStore, root: Node, place: str = "") -> Lineage:
    """What a node led to, up to the scores; arguments and errors are those of `lineage_down`."""
    return Walk(store, root, place).run(_UP)


def _score_down(walk: Walk, place: str, nodes: list[Node]) -> Iterator[Edge]:
    answers = walk.store.beside(place, "answers")
    names = {node.name: node for node in nodes}
    for node in nodes:
        yield Edge(node, walk.at(Node("policy", node.name.rpartition("/")[0]), ""), "measures")
    for name in walk.store.rows(answers):
        score = names.get(name.rsplit("/", 1)[0])
        if score is not None:
            yield Edge(score, walk.at(Node("answer", name, answers), answers), "mean_of")


def _answer_down(walk: Walk, place: str, nodes: list[Node]) -> Iterator[Edge]:
    trajectories = walk.store.beside(place, "trajectories")
    rows = walk.store.rows(place)
    for node in nodes:
        name = rows[node.name]["trajectory_id"]
        found = walk.at(Node("trajectory", name, trajectories), trajectories)
        yield Edge(node, found, "answered_by")


def _trajectory_down(walk: Walk, place: str, nodes: list[Node]) -> Iterator[Edge]:
    store = walk.store
    questions = next(iter(store.parents(place, "questions")), "")
    pages = store.beside(place, "pages")
    rows = store.rows(place, [node.name for node in nodes])
    for node in nodes:
        row = rows[node.name]
        yield Edge(node, walk.at(Node("question", row["question_id"]), questions), "asks")
        # What was built from known chains was sampled by no policy.
        if row["policy"] in store.artifacts:
            yield Edge(node, walk.at(Node("policy", row["policy"]), ""), "sampled_by")
        for page in dict.fromkeys(view["page"] for view in row.get("page_views") or ()):
            yield Edge(node, walk.at(Node("page", page), pages), "saw")


def _policy_down(walk: Walk, _place: str, nodes: list[Node]) -> Iterator[Edge]:
    store = walk.store
    for node in nodes:
        if node.name not in store.artifacts:
            continue
        for start in store.parents(node.name, "policies"):
            yield Edge(node, walk.at(Node("policy", start), ""), "started_from")
        for kind, type_ in (("sft_examples", "sft_example"), ("trajectories", "trajectory")):
            for table in store.parents(node.name, kind):
                for name in store.rows(table):
                    yield Edge(node, walk.at(Node(type_, name, table), table), "trained_on")


def _example_down(walk: Walk, place: str, nodes: list[Node]) -> Iterator[Edge]:
    verdicts = walk.store.beside(place, "verdicts")
    for node in nodes:
        yield Edge(node, walk.at(Node("verdict", node.name, verdicts), verdicts), "kept_by")


def _verdict_down(walk: Walk, place: str, nodes: list[Node]) -> Iterator[Edge]:
    for table in walk.store.parents(place, "trajectories"):
        for node in nodes:
            yield Edge(node, walk.at(Node("trajectory", node.name, table), table), "judges")


def _artifact_down(walk: Walk, _place: str, nodes: list[Node]) -> Iterator[Edge]:
    for node in nodes:
        artifact = walk.store.artifacts.get(node.name.rpartition("/")[2])
        for kind, digests in artifact.parents.items() if artifact else ():
            for digest in digests:
                yield Edge(node, _artifact_node(kind, digest), "made_from")


def _artifact_node(kind: str, digest: str) -> Node:
    return Node("artifact", f"{kind}/{digest}")


def _page_up(walk: Walk, _place: str, nodes: list[Node]) -> Iterator[Edge]:
    store = walk.store
    wanted = {node.name: node for node in nodes}
    for table in _tables_with_pages(store, wanted):
        for name, row in store.rows(table).items():
            for page in dict.fromkeys(view["page"] for view in row.get("page_views") or ()):
                if page in wanted:
                    child = walk.at(Node("trajectory", name, table), table)
                    yield Edge(child, wanted[page], "saw")


def _tables_with_pages(store: LineageStore, pages: Iterable[str]) -> list[str]:
    """Trajectories of every stage that saw one of these pages."""
    wanted = set(pages)
    found = [
        artifact.digest
        for artifact in list(store.artifacts.values())
        if artifact.kind == "pages" and store.rows(artifact.digest, wanted)
    ]
    return list(dict.fromkeys(t for each in found for t in store.children(each, "trajectories")))


def _question_up(walk: Walk, place: str, nodes: list[Node]) -> Iterator[Edge]:
    wanted = {node.name: node for node in nodes}
    for table in walk.store.children(place, "trajectories"):
        for name, row in walk.store.rows(table).items():
            if row["question_id"] in wanted:
                child = walk.at(Node("trajectory", name, table), table)
                yield Edge(child, wanted[row["question_id"]], "asks")


def _trajectory_up(walk: Walk, place: str, nodes: list[Node]) -> Iterator[Edge]:
    store = walk.store
    names = {node.name: node for node in nodes}
    answers = store.beside(place, "answers")
    for name, row in store.rows(answers).items():
        if row["trajectory_id"] in names:
            child = walk.at(Node("answer", name, answers), answers)
            yield Edge(child, names[row["trajectory_id"]], "answered_by")
    for table in store.children(place, "verdicts"):
        for name in store.rows(table, names):
            yield Edge(walk.at(Node("verdict", name, table), table), names[name], "judges")
    for policy in store.children(place, "policies"):
        for node in nodes:
            yield Edge(walk.at(Node("policy", policy), ""), node, "trained_on")


def _answer_up(walk: Walk, place: str, nodes: list[Node]) -> Iterator[Edge]:
    scores = walk.store.beside(place, "benchmarks")
    known = walk.store.rows(scores)
    for node in nodes:
        name = node.name.rsplit("/", 1)[0]
        if name in known:
            yield Edge(walk.at(Node("score", name, scores), scores), node, "mean_of")


def _verdict_up(walk: Walk, place: str, nodes: list[Node]) -> Iterator[Edge]:
    names = {node.name: node for node in nodes}
    examples = walk.store.beside(place, "sft_examples")
    for name in walk.store.rows(examples, names):
        yield Edge(walk.at(Node("sft_example", name, examples), examples), names[name], "kept_by")


def _example_up(walk: Walk, place: str, nodes: list[Node]) -> Iterator[Edge]:
    for policy in walk.store.children(place, "policies"):
        for node in nodes:
            yield Edge(walk.at(Node("policy", policy), ""), node, "trained_on")


def _policy_up(walk: Walk, _place: str, nodes: list[Node]) -> Iterator[Edge]:
    store = walk.store
    for node in nodes:
        for table in store.children(node.name, "benchmarks"):
            for name in store.rows(table):
                if name.startswith(f"{node.name}/"):
                    yield Edge(walk.at(Node("score", name, table), table), node, "measures")
        for policy in store.children(node.name, "policies"):
            yield Edge(walk.at(Node("policy", policy), ""), node, "started_from")
        # Its answers to held-out questions led to its scores alone, which are there already.
        for table in store.children(node.name, "trajectories"):
            for name, row in store.rows(table).items():
                if row["source"] in _OF_TRAINING and row["policy"] == node.name:
                    child = walk.at(Node("trajectory", name, table), table)
                    yield Edge(child, node, "sampled_by")


def _artifact_up(walk: Walk, _place: str, nodes: list[Node]) -> Iterator[Edge]:
    for node in nodes:
        artifact = walk.store.artifacts.get(node.name.rpartition("/")[2])
        for kind, digests in artifact.children.items() if artifact else ():
            for digest in digests:
                yield Edge(_artifact_node(kind, digest), node, "made_from")


_Steps = Mapping[str, Callable[[Walk, str, list[Node]], Iterable[Edge]]]

_DOWN: _Steps = {
    "score": _score_down,
    "answer": _answer_down,
    "trajectory": _trajectory_down,
    "policy": _policy_down,
    "sft_example": _example_down,
    "verdict": _verdict_down,
    "artifact": _artifact_down,
}

_UP: _Steps = {
    "page": _page_up,
    "question": _question_up,
    "trajectory": _trajectory_up,
    "answer": _answer_up,
    "verdict": _verdict_up,
    "sft_example": _example_up,
    "policy": _policy_up,
    "artifact": _artifact_up,
}
