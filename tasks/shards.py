"""Rows that a stage has finished so far, so that a killed one goes on from there."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from agents.trajectory import Trajectory
from tasks.artifacts import ArtifactStore
from tasks.rows import trajectory_of, trajectory_row
from tasks.tables import conform, from_parquet, kind_of, to_parquet

_EVERY_S = 1.0
"""Seconds between two shards of a stage at work: what a kill may cost of finished rows."""


class ShardLog:
    """The finished rows of one stage, in shards that each appear whole or not at all.

    Shards are the stage's scratch: they are read again only by the same stage key, and cleared
    once the stage's artifact stands.
    """

    def __init__(
        self,
        store: ArtifactStore,
        stage_key: str,
        kind: str = "trajectories",
        folder: str = "",
    ) -> None:
        """Opens the log.

        Args:
            store: Where it is kept.
            stage_key: Key of the stage.
            kind: Kind of its rows.
            folder: Folder of its own below that of the stage, where the stage has several logs.
        """
        self._objects = store.objects
        self._kind = kind_of(kind)
        self._prefix = f"partial/{stage_key}/{folder}".rstrip("/")
        self._next = len(self._paths())

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds finished rows as one shard.

        Raises:
            StoreError: They do not fit the kind, or could not be written.
        """
        if not rows:
            return
        data = to_parquet(conform(self._kind, rows))
        # The random part keeps two writers of one key from taking the same name.
        path = f"{self._prefix}/shard-{self._next:06d}-{uuid.uuid4().hex[:8]}.parquet"
        self._objects.put_new(path, data)
        self._next += 1

    def append_trajectories(self, trajectories: Iterable[Trajectory]) -> None:
        """Adds finished trajectories as one shard."""
        self.append([trajectory_row(trajectory) for trajectory in trajectories])

    @contextmanager
    def open(
        self, before: Callable[[], None] = lambda: None
    ) -> Iterator[Callable[[Trajectory], None]]:
        """Takes trajectories as they end, and writes what has come about every second.

        Writing happens beside the work, in a thread of its own.

        Args:
            before: Called before each shard, to write first what its trajectories need.

        Yields:
            A function that takes one trajectory.

        Raises:
            StoreError: A shard could not be written; raised by that function, or at the end.
        """
        writer = _Writer(self, before)
        try:
            yield writer.add
        finally:
            writer.close()

    def rows(self) -> list[dict[str, Any]]:
        """All rows finished so far, each key once, in the order they were written.

        Raises:
            StoreError: A shard is damaged.
        """
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in self.every_row():
            found.setdefault(tuple(row[name] for name in self._kind.key), row)
        return list(found.values())

    def every_row(self) -> Iterator[dict[str, Any]]:
        """All rows that were written, also where two processes have written the same.

        Raises:
            StoreError: A shard is damaged.
        """
        for path in self._paths():
            data = self._objects.get(path)
            if data is not None:
                yield from from_parquet(self._kind, data, path).to_pylist()

    def trajectories(self) -> list[Trajectory]:
        """All trajectories finished so far."""
        return [trajectory_of(row) for row in self.rows()]

    def clear(self) -> None:
        """Removes the shards."""
        self._objects.delete(self._paths())

    def _paths(self) -> list[str]:
        return [
            path
            for path in self._objects.paths(self._prefix)
            if path.endswith(".parquet") and path.rpartition("/")[0] == self._prefix
        ]


class _Writer:
    """The thread behind `ShardLog.open`."""

    def __init__(self, log: ShardLog, before: Callable[[], None]) -> None:
        self._log = log
        self._before = before
        self._waiting: list[Trajectory] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="shards", daemon=True)
        self._thread.start()

    def add(self, trajectory: Trajectory) -> None:
        """Takes one trajectory."""
        if self._error is not None:
            raise self._error
        with self._lock:
            self._waiting.append(trajectory)

    def close(self) -> None:
        """Writes the rest and ends the thread."""
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._over.wait(_EVERY_S):
                self._write()
            self._write()
        except BaseException as error:
            # It is raised in the thread that does the work, at its next trajectory.
            self._error = error

    def _write(self) -> None:
        with self._lock:
            ready, self._waiting = self._waiting, []
        # Also without a trajectory: what was paid for is not to be paid for again.
        self._before()
        self._log.append_trajectories(ready)


def clear_partial(store: ArtifactStore, stage_key: str) -> None:
    """Removes all that a stage kept for resumption: its artifacts stand now."""
    store.objects.delete(store.objects.paths(f"partial/{stage_key}"))
