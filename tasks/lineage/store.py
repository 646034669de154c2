"""What lineage reads of a store: artifacts with their parents, and slim rows of tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc

from tasks.artifacts import ArtifactStore
from tasks.catalog_index import CatalogIndex
from tasks.manifest import StoredFile
from tasks.storage.table_files import read_columns

_WHOLE_TABLE_FROM = 0.25
"""Share of a table's rows from which it is read whole, once, rather than row by row."""

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "benchmarks": ("num_questions", "em", "f1", "accuracy", "ci_low", "ci_high"),
    "answers": ("question_id", "trajectory_id", "predicted", "em", "f1", "accuracy", "judge"),
    "questions": ("text", "answers", "family", "split", "num_hops"),
    "pages": ("url", "title", "text_digest", "fetched_at"),
    "verdicts": ("question_id", "kept", "reason", "rank"),
    "rewards": ("format", "answer", "total"),
    "sft_examples": ("question_id",),
    "trajectories": (
        "question_id",
        "policy",
        "source",
        "iteration",
        "rollout_index",
        "stop_reason",
        "answer",
        "num_tool_calls",
        "page_views",
    ),
}
"""What lineage says about a row, beside its key; no tokens and no texts of pages."""

_KEYS: Mapping[str, tuple[str, ...]] = {
    "benchmarks": ("policy", "benchmark"),
    "answers": ("policy", "benchmark", "question_id"),
    "questions": ("question_id",),
    "pages": ("page",),
}
"""What names a row; elsewhere it is the trajectory's id."""

_OF_A_MANIFEST = (
    "kind",
    "digest",
    "key",
    "name",
    "run",
    "iteration",
    "num_rows",
    "created_at",
)
"""Columns of the index that an `Artifact` has too, the kind and the digest first."""

Row = dict[str, Any]


@dataclass(slots=True)
class Artifact:
    """One artifact, whoever made it.

    Attributes:
        kind: Its kind.
        digest: Its digest.
        key: Key of the stage that made it first.
        name: Its name there.
        run: The run that made it first.
        iteration: The iteration that made it first.
        num_rows: Rows of a table; None for a policy.
        created_at: When, ISO 8601 in UTC.
        row: Its row in the index.
        parents: Digests of what it was made from, by kind.
        children: Digests of what was made from it, by kind.
    """

    kind: str
    digest: str
    key: str
    name: str
    run: str
    iteration: int
    num_rows: int | None
    created_at: str
    row: int
    parents: dict[str, list[str]] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)


class LineageStore:
    """Artifacts of a store by digest, and rows of their tables.

    Args:
        store: The store.
        index: What its documents say.

    Attributes:
        index: What its documents say.
        artifacts: All artifacts by digest.
    """

    def __init__(self, store: ArtifactStore, index: CatalogIndex) -> None:
        self.index = index
        self.artifacts: dict[str, Artifact] = {}
        self._store = store
        self._of_key: dict[str, dict[str, str]] = defaultdict(dict)
        self._tables: dict[str, dict[str, Row]] = {}
        table = index.manifests.combine_chunks()
        columns = [table[name].to_pylist() for name in _OF_A_MANIFEST]
        for row, values in enumerate(zip(*columns, strict=True)):
            own: dict[str, Any] = dict(zip(_OF_A_MANIFEST, values, strict=True))
            artifact = Artifact(**own, row=row)
            if artifact.digest not in self.artifacts:
                self.artifacts[artifact.digest] = artifact
            self._of_key[artifact.key].setdefault(artifact.kind, artifact.digest)
        # Column by column: lists of structs are slow to make into objects.
        parents = pc.list_flatten(table["parents"])
        children = pc.list_parent_indices(table["parents"]).to_pylist()
        digests, kinds = columns[1], columns[0]
        for child, parent, kind in zip(
            children,
            pc.struct_field(parents, "digest").to_pylist(),
            pc.struct_field(parents, "kind").to_pylist(),
            strict=True,
        ):
            self._link(digests[child], kinds[child], parent, kind)

    def beside(self, digest: str, kind: str) -> str:
        """The artifact of a kind that the same stage made; empty where there is none."""
        return self._of_key[self.artifacts[digest].key].get(kind, "")

    def parents(self, digest: str, kind: str) -> list[str]:
        """What an artifact was made from, of one kind."""
        return self.artifacts[digest].parents.get(kind, []) if digest in self.artifacts else []

    def children(self, digest: str, kind: str) -> list[str]:
        """What was made from an artifact, of one kind."""
        return self.artifacts[digest].children.get(kind, []) if digest in self.artifacts else []

    def rows(self, digest: str, names: Iterable[str] | None = None) -> dict[str, Row]:
        """Rows of a table by name: its key's values, joined by `/`.

        Args:
            digest: The table; an empty one has no rows.
            names: Which rows; None: all. Rows that are not there are left out.

        Raises:
            StoreError: The table is missing or damaged.
        """
        if not digest or digest not in self.artifacts:
            return {}
        artifact = self.artifacts[digest]
        wanted = None if names is None else set(names)
        whole = self._tables.get(digest)
        few = wanted is not None and len(wanted) < _WHOLE_TABLE_FROM * (artifact.num_rows or 0)
        if whole is None and (few and len(_key_of(artifact.kind)) == 1):
            (key,) = _key_of(artifact.kind)
            return self._read(artifact, pc.field(key).isin(sorted(wanted or ())))
        if whole is None:
            whole = self._tables[digest] = self._read(artifact, None)
        if wanted is None:
            return whole
        return {name: whole[name] for name in wanted if name in whole}

    def _read(self, artifact: Artifact, where: pc.Expression | None) -> dict[str, Row]:
        files = self.index.manifests["files"][artifact.row].as_py()
        if artifact.kind not in _COLUMNS or len(files) != 1:
            return {}
        key = _key_of(artifact.kind)
        columns = list(dict.fromkeys((*key, *_COLUMNS[artifact.kind])))
        table = read_columns(self._store, StoredFile(**files[0]), columns, where)
        return {"/".join(row[name] for name in key): row for row in table.to_pylist()}

    def _link(self, child: str, child_kind: str, parent: str, parent_kind: str) -> None:
        up = self.artifacts[child].parents.setdefault(parent_kind, [])
        if parent not in up:
            up.append(parent)
        if parent in self.artifacts:
            down = self.artifacts[parent].children.setdefault(child_kind, [])
            if child not in down:
                down.append(child)


def _key_of(kind: str) -> tuple[str, ...]:
    return _KEYS.get(kind, ("trajectory_id",))
