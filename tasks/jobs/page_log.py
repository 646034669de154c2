"""What a job's rollouts saw: pages logged before the trajectories that saw them, then written.

A page may have changed by the time a killed stage goes on, so that what was read is kept in shards
of its own, next to those of the trajectories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.errors import StoreError
from agents.snapshots import PageRecorder
from agents.trajectory import Trajectory
from tasks.artifacts import ArtifactStore
from tasks.jobs.cache_log import CacheLog
from tasks.jobs.payload import Job
from tasks.manifest import ROWS_ITERATION, ArtifactRef
from tasks.rows import page_row, trajectory_row
from tasks.shards import ShardLog

_FOLDER = "pages"


class PageLog:
    """The pages of one stage, whether this process read them or one before it.

    Args:
        store: Where the log is kept.
        key: Key of the stage.
        recorder: Where the stage's tools note what they read.
        web: The log of the web's answers, which is written along; None: without one.

    Attributes:
        web: The same.
    """

    def __init__(
        self, store: ArtifactStore, key: str, recorder: PageRecorder, web: CacheLog | None = None
    ) -> None:
        self.web = web
        self._log = ShardLog(store, key, "pages", _FOLDER)
        self._recorder = recorder
        self._rows = {row["page"]: row for row in self._log.rows()}

    def flush(self) -> None:
        """Logs what came since the last call; before the trajectories that saw it.

        Raises:
            StoreError: It could not be written.
        """
        if self.web is not None:
            self.web.flush()
        new = [
            page_row(snapshot)
            for snapshot in self._recorder.drain()
            if snapshot.page not in self._rows
        ]
        self._log.append(new)
        self._rows |= {row["page"]: row for row in new}

    def rows(self, trajectories: Sequence[Trajectory]) -> list[dict[str, Any]]:
        """The pages that these trajectories saw, each once.

        Raises:
            StoreError: One was never logged.
        """
        self.flush()
        seen = {view.page: view for t in trajectories for view in t.page_views}
        for page, view in seen.items():
            if page not in self._rows:
                raise StoreError(f"page {view.url} ({page[:12]}) was seen, but never logged")
        return [self._rows[page] for page in sorted(seen)]


def write_rollouts(
    job: Job,
    trajectories: Sequence[Trajectory],
    pages: PageLog,
    metadata: Mapping[str, Any] | None = None,
) -> ArtifactRef:
    """Writes a stage's `web_cache`, its `pages`, and its `trajectories` as made from them.

    Returns:
        The trajectories.
    """
    parents = [job.write_table("pages", pages.rows(trajectories))]
    said = dict(metadata or {})
    if pages.web is not None:
        said["metrics"] = {**said.get("metrics", {}), **pages.web.metrics()}
        parents += pages.web.write()
    if {t.iteration for t in trajectories} == {job.context.iteration}:
        said[ROWS_ITERATION] = job.context.iteration
    return job.write_table(
        "trajectories",
        [trajectory_row(trajectory) for trajectory in trajectories],
        parents=parents,
        metadata=said,
    )
