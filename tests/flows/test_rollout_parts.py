"""A rollout stage that several processes share comes to the very artifact of one."""

from __future__ import annotations

import pytest

from flows.evolve import run_context
from flows.stages import rollout, rollout_part
from tasks.heavy.run import start_heavy, stop_heavy
from tasks.references import resolve
from tasks.runs import RunLog
from tasks.shards import ShardLog

pytestmark = [pytest.mark.assets, pytest.mark.slow]


def test_parts_are_joined_without_sampling_again_into_the_artifact_of_an_unsplit_stage(rehearsal):
    store = rehearsal.store
    config, references = rehearsal.rollout_inputs(5)
    context = run_context(config, "parts", iteration=1)
    start_heavy()
    try:
        rollout_part(config, context, *references, part=1, parts=2)
        [record] = RunLog(store.objects).stages("parts")
        log = ShardLog(store, record.key)
        half = {row["question_id"] for row in log.rows()}
        rollout_part(config, context, *references, part=2, parts=2)
        kept = {row["trajectory_id"]: row["wall_s"] for row in log.rows()}
        joined = rollout(config, context, *references)
        again = run_context(config, "unsplit", redo=("rollout",), iteration=1)
        whole = rollout(config, again, *references)
    finally:
        stop_heavy()
    assert len(half) == 6
    assert len(kept) == 12 * 5
    for name, kind in (("trajectories", "trajectories"), ("pages", "pages")):
        one, other = (resolve(store, kind, each[name]) for each in (joined, whole))
        assert one.key != other.key
        assert one.digest == other.digest
    trajectories = store.read_trajectories(resolve(store, "trajectories", joined["trajectories"]))
    # The timing of a trajectory tells that it was not made again.
    assert {t.trajectory_id: t.wall_s for t in trajectories} == kept
    assert store.objects.paths(f"partial/{record.key}") == []
