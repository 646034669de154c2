"""Rows that a stage has finished so far, so that a killed one goes on from there."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agents.trajectory import Trajectory
from tasks.artifacts import ArtifactStore
from tasks.rows import trajectory_of, trajectory_row
from tasks.tables import conform, from_parquet, kind_of, to_parquet


class ShardLog:
    """The finished rows of one stage, in shards that each appear whole or not at all.

    Shards are the stage's scratch: they are read again only by the same stage key, and cleared
    once the stage's artifact stands.
    """

    def __init__(self, store: ArtifactStore, stage_key: str, kind: str = "trajectories") -> None:
        self._objects = store.objects
        self._kind = kind_of(kind)
        self._prefix = f"partial/{stage_key}"
        self._next = len(self._paths())

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds finished rows as one shard.

        Raises:
            StoreError: They do not fit the kind, or could not be written.
        """
        if not rows:
            return
        data = to_parquet(conform(self._kind, rows))
        # The random part keeps an orphan of a killed parent from taking the same name.
        path = f"{self._prefix}/shard-{self._next:06d}-{uuid.uuid4().hex[:8]}.parquet"
        self._objects.put_new(path, data)
        self._next += 1

    def append_trajectories(self, trajectories: Iterable[Trajectory]) -> None:
        """Adds finished trajectories as one shard."""
        self.append([trajectory_row(trajectory) for trajectory in trajectories])

    def rows(self) -> list[dict[str, Any]]:
        """All rows finished so far, each key once, in the order they were written.

        Raises:
            StoreError: A shard is damaged.
        """
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for path in self._paths():
            data = self._objects.get(path)
            if data is None:
                continue
            for row in from_parquet(self._kind, data, path).to_pylist():
                found.setdefault(tuple(row[name] for name in self._kind.key), row)
        return list(found.values())

    def trajectories(self) -> list[Trajectory]:
        """All trajectories finished so far."""
        return [trajectory_of(row) for row in self.rows()]

    def clear(self) -> None:
        """Removes the shards."""
        self._objects.delete(self._paths())

    def _paths(self) -> list[str]:
        return [path for path in self._objects.paths(self._prefix) if path.endswith(".parquet")]
