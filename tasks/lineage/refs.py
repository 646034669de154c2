"""What a person means by a reference to something in the store whose lineage is asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow.compute as pc

from agents.errors import UsageError
from tasks.lineage.store import LineageStore
from tasks.lineage.tree import TYPES, Node
from tasks.schemas import POLICIES

_NODE_ID = re.compile(r"([a-z_]+):(.+?)(?:@([0-9a-f]{4,64}))?")
_HEX = re.compile(r"[0-9a-f]{4,64}")
_TABLES = {
    "score": "benchmarks",
    "answer": "answers",
    "trajectory": "trajectories",
    "question": "questions",
    "page": "pages",
    "sft_example": "sft_examples",
    "verdict": "verdicts",
}
"""The kind of table that holds the rows of a type of node."""
_NAMED_BY_CONTENT = frozenset({"question", "page"})
"""Types whose names mean the same in whatever table they stand."""
_CONSTRUCTION = "construction"


def resolve_node(store: LineageStore, text: str) -> tuple[Node, str]:
    """Finds the one thing that a reference means.

    Args:
        store: Where to look.
        text: `RUN/ITERATION/BENCHMARK` or `DIGEST/BENCHMARK` (a score), `RUN/ITERATION` or a digest
            (a policy), `STAGE_KEY/NAME` or a digest (an artifact), the id of a trajectory or a
            question, a page's digest or address, or the id of a node of a lineage document.

    Returns:
        The node, and the table that holds its row.

    Raises:
        UsageError: Nothing or more than one thing is meant.
        StoreError: A table is damaged.
    """
    match = _NODE_ID.fullmatch(text)
    if match and match[1] in TYPES:
        found = _named(store, match[1], match[2], match[3] or "")
    else:
        found = _artifact(store, text) or _of_run(store, text) or _by_prefix(store, text)
        name, _, digest = text.rpartition("@") if "@" in text else (text, "", "")
        for kind in ("trajectory", "question", "page"):
            found = found or _named(store, kind, text, "") or _named(store, kind, name, digest)
    if not found:
        raise UsageError(
            f"{text!r}: nothing in this store is called so; expected RUN/ITERATION/BENCHMARK, a "
            "digest of a policy, an artifact or a page, or the id of a trajectory or a question"
        )
    if len({node for node, _ in found}) > 1:
        shown = ", ".join(node.node_id for node, _ in found[:4])
        raise UsageError(f"{text!r} means {len(found)} things; name one: {shown}")
    return found[0]


_Found = list[tuple[Node, str]]


def _named(store: LineageStore, kind: str, name: str, digest: str) -> _Found:
    """Rows of one type and name, in all tables or in the one whose digest begins so."""
    if kind == "policy":
        return [(Node(kind, found), "") for found in _digests(store, name, POLICIES)]
    if kind == "artifact":
        of_kind, _, prefix = name.rpartition("/")
        return [
            (Node(kind, f"{store.artifacts[found].kind}/{found}"), "")
            for found in _digests(store, prefix, of_kind)
        ]
    found: _Found = []
    for artifact in list(store.artifacts.values()):
        wanted = artifact.kind == _TABLES[kind] and artifact.digest.startswith(digest)
        if wanted and _may_hold(store, artifact.digest, kind, name):
            in_table = "" if kind in _NAMED_BY_CONTENT else artifact.digest
            rows = _rows_named(store, artifact.digest, kind, name)
            found += [(Node(kind, row, in_table), artifact.digest) for row in rows]
            if found and kind in _NAMED_BY_CONTENT:
                break
    return found


def _rows_named(store: LineageStore, table: str, kind: str, name: str) -> Sequence[str]:
    if kind == "page" and not re.fullmatch(r"[0-9a-f]{64}", name):
        prefix = name if _HEX.fullmatch(name) else None
        return [
            page
            for page, row in store.rows(table).items()
            if row["url"] == name or (prefix is not None and page.startswith(prefix))
        ]
    return list(store.rows(table, [name]))


def _may_hold(store: LineageStore, table: str, kind: str, name: str) -> bool:
    """Whether a table is worth opening: a trajectory's id begins with its policy's digest."""
    if kind == "score":
        return name.partition("/")[0] in store.artifacts[table].parents.get(POLICIES, ())
    if kind != "trajectory" or name.startswith(_CONSTRUCTION):
        return True
    policies = store.artifacts[table].parents.get(POLICIES, [])
    return any(name.startswith(policy[:12]) for policy in policies) or not policies


def _artifact(store: LineageStore, text: str) -> _Found:
    """The artifact at `STAGE_KEY/NAME`."""
    key, slash, name = text.rpartition("/")
    if not slash:
        return []
    for artifact in store.artifacts.values():
        if (artifact.key, artifact.name) == (key, name):
            return [(_node_of(artifact.kind, artifact.digest), "")]
    return []


def _node_of(kind: str, digest: str) -> Node:
    return Node("policy", digest) if kind == POLICIES else Node("artifact", f"{kind}/{digest}")


def _of_run(store: LineageStore, text: str) -> _Found:
    """`RUN/WHICH` and `RUN/WHICH/BENCHMARK`, or the same with a policy's digest for `RUN/WHICH`."""
    parts = text.split("/")
    runs = {row["run"]: row for row in store.index.runs.to_pylist()}
    if parts[0] in runs and len(parts) in (2, 3):
        wanted = parts[1].replace("-", " ").replace("_", " ")
        measured = runs[parts[0]]["policies"]
        named = [p for p in measured if wanted in (p["name"], str(p["iteration"]))]
        if not named:
            known = ", ".join(p["name"] for p in measured) or "none yet"
            raise UsageError(f"{text}: the policies of run {parts[0]} are: {known}")
        policies, run = [named[-1]["digest"]], parts[0]
    elif len(parts) == 2 and _HEX.fullmatch(parts[0]):
        policies, run = _digests(store, parts[0], POLICIES), ""
    else:
        return []
    if len(parts) == 2 and run:
        return [(Node("policy", policies[0]), "")]
    return _scores(store, policies, parts[-1], run)


def _scores(store: LineageStore, policies: Sequence[str], benchmark: str, run: str) -> _Found:
    """Scores of policies on a benchmark; of several, those that a run made or reused."""
    of_run = {
        ref["digest"]
        for refs in store.index.stages.filter(pc.field("run") == run)["artifacts"].to_pylist()
        for ref in refs
    }
    found: _Found = []
    known: set[str] = set()
    for policy in policies:
        for table in store.children(policy, "benchmarks"):
            if run and table not in of_run:
                continue
            for name in store.rows(table):
                known.add(name.rpartition("/")[2])
                if name == f"{policy}/{benchmark}":
                    found.append((Node("score", name, table), table))
    if known and not found:
        raise UsageError(f"no benchmark {benchmark!r} there: {', '.join(sorted(known))}")
    return found


def _by_prefix(store: LineageStore, text: str) -> _Found:
    """The policy or other artifact whose digest begins so; a policy before any other."""
    if not _HEX.fullmatch(text):
        return []
    found = _digests(store, text, POLICIES) or _digests(store, text, "")
    return [(_node_of(store.artifacts[digest].kind, digest), "") for digest in found]


def _digests(store: LineageStore, prefix: str, kind: str) -> list[str]:
    return [
        digest
        for digest, artifact in store.artifacts.items()
        if digest.startswith(prefix) and kind in ("", artifact.kind)
    ]
