"""A killed stage goes on after its last finished trajectory, and comes to the same result."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from flows.evolve import run_context
from flows.stages import rollout
from tasks.artifacts import ArtifactStore
from tasks.heavy.run import start_heavy, stop_heavy
from tasks.references import resolve
from tasks.shards import ShardLog

pytestmark = [pytest.mark.assets, pytest.mark.faults]


class Killer(threading.Thread):
    """Kills the heavy child once its stage has logged something, and keeps what was logged."""

    def __init__(self, store: ArtifactStore) -> None:
        super().__init__(daemon=True)
        self.store = store
        self.logged: dict[str, float] = {}

    def run(self) -> None:
        partial = self.store.objects.root / "partial"
        for _ in range(3000):
            shards = list(partial.glob("rollout-*/*.parquet"))
            if shards:
                os.killpg(_heavy_child(), signal.SIGKILL)
                log = ShardLog(self.store, shards[0].parent.name)
                self.logged = {row["trajectory_id"]: row["wall_s"] for row in log.rows()}
                return
            time.sleep(0.01)


def _children(pid: int) -> list[int]:
    # A child is listed under the thread that started it.
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in lists for child in each.read_text().split()]


def _heavy_child() -> int:
    """The process that is forked from this process's server of heavy work."""
    (server,) = [
        child
        for child in _children(os.getpid())
        if b"tasks.heavy.server" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    (child,) = _children(server)
    return child


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the child through /proc")
def test_a_killed_rollout_stage_loses_and_doubles_nothing(rehearsal):
    store = rehearsal.store
    config, references = rehearsal.rollout_inputs(6)
    start_heavy()
    killer = Killer(store)
    killer.start()
    try:
        made = rollout(config, run_context(config, "killed", iteration=1), *references)
        killer.join()
        again = rollout(
            config, run_context(config, "whole", redo=("rollout",), iteration=1), *references
        )
    finally:
        stop_heavy()
    resumed, whole = (
        resolve(store, "trajectories", each["trajectories"]) for each in (made, again)
    )
    trajectories = store.read_trajectories(resumed)
    assert 0 < len(killer.logged) < len(trajectories) == 12 * 6
    assert len({(t.question_id, t.rollout_index) for t in trajectories}) == 12 * 6
    # The timing of a trajectory tells that it was not made again.
    kept = {t.trajectory_id: t.wall_s for t in trajectories if t.trajectory_id in killer.logged}
    assert kept == killer.logged
    assert resumed.key != whole.key
    assert resumed.digest == whole.digest
