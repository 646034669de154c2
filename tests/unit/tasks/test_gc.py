"""A collection takes what no kept run refers to, and nothing else."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.errors import UsageError
from tasks.artifacts import ArtifactStore
from tasks.care.gc import collect, plan_collection
from tasks.care.verification import verify_store
from tasks.run_owner import working_on
from tasks.runs import RunLog, StageRecord
from tasks.shards import ShardLog

DAY_S = 86400.0


def age(store: ArtifactStore, seconds: float, prefix: str = "") -> None:
    """Makes everything look as if it had been written so long ago."""
    then = time.time() - seconds
    for path in store.objects.paths(prefix):
        os.utime(store.objects.path_of(path), (then, then))


def removed(store: ArtifactStore, *drop: str, grace_s: float = DAY_S) -> set[str]:
    before = set(store.objects.paths(""))
    collect(store, plan_collection(store, drop, grace_s))
    return before - set(store.objects.paths(""))


def test_a_store_of_kept_runs_has_no_garbage(sample_run) -> None:
    age(sample_run.store, 10 * DAY_S)
    assert plan_collection(sample_run.store, (), DAY_S).garbage == []
    assert removed(sample_run.store) == set()


def test_a_plan_changes_nothing(sample_run) -> None:
    age(sample_run.store, 10 * DAY_S)
    before = sample_run.store.objects.paths("")
    plan = plan_collection(sample_run.store, ["demo"], DAY_S)
    assert plan.num_bytes > 0
    assert sample_run.store.objects.paths("") == before


def test_a_dropped_run_takes_along_all_that_it_alone_has(make_run) -> None:
    one = make_run("one")
    two = make_run("two", one.store)
    age(one.store, 10 * DAY_S)
    gone = removed(one.store, "one")
    store = ArtifactStore.open(one.store.uri)
    assert [record.run for record in RunLog(store.objects).runs()] == ["two"]
    assert {manifest.run for manifest in store.manifests()} == {"two"}
    assert any(path.startswith("artifacts/policies/") for path in gone)
    assert verify_store(store).problems == []
    assert store.read_trajectories(two.made["rl"]["trajectories"])


def test_what_runs_share_stays_with_the_last_of_them(make_run) -> None:
    run = make_run("one")
    log = RunLog(run.store.objects)
    # Another run that reused the rollouts; their policy and its origins are needed too.
    reused = tuple(run.made["rollout"].values())
    log.save_stage(StageRecord("two", 1, "rollout", run.key("rollout"), "done", artifacts=reused))
    age(run.store, 10 * DAY_S)
    removed(run.store, "one")
    store = ArtifactStore.open(run.store.uri)
    kept = {(m.ref.key, m.ref.name) for m in store.manifests()}
    assert (run.key("rollout"), "trajectories") in kept
    assert (run.key("sft 0"), "policy") in kept
    assert (run.key("filter 0"), "sft_examples") in kept
    assert (run.key("rl"), "policy") not in kept
    assert verify_store(store).problems == []


def test_nothing_young_goes(sample_run) -> None:
    age(sample_run.store, 10 * DAY_S)
    store = sample_run.store
    store.objects.put_new("artifacts/verdicts/" + "0" * 64 + "/rows.parquet", b"being written")
    store.write_table("verdicts", [], stage_key="alone", name="verdicts")
    ShardLog(store, "rollout-new", "pages", "pages").append(
        [dict.fromkeys(("page", "url", "title", "text_digest", "text", "fetched_at"), "x")]
    )
    plan = plan_collection(store, (), DAY_S)
    assert plan.garbage == []
    assert len(plan.young) == 4
    assert removed(store) == set()
    age(store, 10 * DAY_S)
    gone = {path.split("/")[0] for path in removed(store)}
    assert gone == {"artifacts", "manifests", "partial"}


def test_a_stopped_run_keeps_what_it_goes_on_from(sample_run) -> None:
    store, log = sample_run.store, RunLog(sample_run.store.objects)
    log.save_stage(StageRecord("demo", 2, "rollout", "rollout-next", "stopped"))
    for key in ("rollout-next", "rollout-other"):
        store.objects.put(f"partial/{key}/shard-1.parquet", b"x")
        store.objects.put(f"leases/{key}/000001.json", b"x")
    store.write_table("rewards", [], stage_key="rollout-next", name="rewards")
    age(store, 10 * DAY_S)
    assert removed(store) == {
        "partial/rollout-other/shard-1.parquet",
        "leases/rollout-other/000001.json",
    }


def test_while_a_run_is_alive_it_loses_nothing_that_it_may_reuse(sample_run) -> None:
    store, log = sample_run.store, RunLog(sample_run.store.objects)
    age(store, 10 * DAY_S)
    log.save_stage(StageRecord("other", 1, "sft", "sft-1", "running"))
    plan = plan_collection(store, ["demo"], DAY_S)
    assert plan.live == ["other"]
    assert {item.what for item in plan.garbage} == {"record"}
    assert len(plan.deferred) == len(store.manifests())
    with pytest.raises(UsageError, match="the run is alive"):
        plan_collection(store, ["other"], DAY_S)
    # Without a sign of life for the whole grace period it was killed.
    age(store, 10 * DAY_S, "runs")
    assert plan_collection(store, (), DAY_S).live == []


def test_a_run_between_two_stages_is_alive(sample_run) -> None:
    age(sample_run.store, 10 * DAY_S)
    with working_on(sample_run.store.objects, "other"):
        assert plan_collection(sample_run.store, (), DAY_S).live == ["other"]
    assert plan_collection(sample_run.store, (), DAY_S).live == []


def test_an_unknown_run_cannot_be_dropped(sample_run) -> None:
    with pytest.raises(UsageError, match="there is no such run"):
        plan_collection(sample_run.store, ["dmeo"], DAY_S)


def test_a_manifest_written_after_the_plan_keeps_its_objects(sample_run) -> None:
    store = sample_run.store
    content = [{"trajectory_id": "t", "question_id": "q", "format": 1, "answer": 1, "total": 1}]
    ref = store.write_table("rewards", content, stage_key="old", name="rewards")
    age(store, 10 * DAY_S)
    plan = plan_collection(store, (), DAY_S)
    assert [item.name for item in plan.garbage] == ["old/rewards"]
    late = ArtifactStore.open(store.uri).write_table(
        "rewards", content, stage_key="new", name="rewards"
    )
    collect(store, plan)
    assert late.digest == ref.digest
    assert ArtifactStore.open(store.uri).read_table(late).num_rows == 1


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    refs=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=12),
    parents=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 8)), max_size=14),
    drop=st.sets(st.sampled_from("abc")),
)
def test_never_is_anything_lost_that_a_kept_run_refers_to(
    tmp_path_factory, refs, parents, drop
) -> None:
    """Ten artifacts, each made from some before it, and three runs that refer to some of them."""
    store = ArtifactStore.open(tmp_path_factory.mktemp("store"))
    made = []
    for number in range(10):
        of = [made[parent] for child, parent in parents if child == number and parent < child]
        row = {"trajectory_id": str(number), "question_id": "q", "format": 1, "answer": 1}
        made.append(
            store.write_table("rewards", [row], stage_key=f"k-{number}", name="r", parents=of)
        )
    log = RunLog(store.objects)
    for position, (run, number) in enumerate(refs):
        log.save_stage(
            StageRecord(run, position, "filter", f"k-{number}", "done", artifacts=(made[number],))
        )
    age(store, 10 * DAY_S)
    named = {run for run, _ in refs}
    collect(store, plan_collection(store, sorted(drop & named), DAY_S))
    fresh = ArtifactStore.open(store.uri)
    needed = {number for run, number in refs if run not in drop}
    while more := {p for c, p in parents if c in needed and p < c} - needed:
        needed |= more
    assert {int(m.ref.key[2:]) for m in fresh.manifests()} == needed
    for number in needed:
        assert fresh.read_table(made[number]).num_rows == 1
    assert verify_store(fresh).problems == []
