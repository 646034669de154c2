"""SQL, lineage and care on every sort of store; of a bucket, only what is needed travels."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_run import SampleRun, make_sample_run

from tasks.artifacts import ArtifactStore
from tasks.care.archive import archive_run
from tasks.care.gc import collect, plan_collection
from tasks.care.restore import restore_run
from tasks.care.verification import verify_store
from tasks.catalog import Catalog
from tasks.catalog_index import open_index
from tasks.lineage.refs import resolve_node
from tasks.lineage.steps import lineage_down, lineage_up
from tasks.lineage.store import LineageStore
from tasks.lineage.tree import document
from tasks.storage.config import StoreConfig


@pytest.fixture
def config(place) -> StoreConfig:
    return place.new()


@pytest.fixture
def run(config: StoreConfig, tmp_path: Path) -> SampleRun:
    return make_sample_run(ArtifactStore.open(config), tmp_path / "models")


def copies(run: SampleRun) -> int:
    """Tables in the cache; a local store has none."""
    folder = run.store.local.tables_folder
    return len(list(folder.iterdir())) if run.store.objects.is_remote and folder.exists() else 0


def test_a_query_fetches_the_tables_that_its_filter_leaves(run, config) -> None:
    remote = run.store.objects.is_remote
    with Catalog(ArtifactStore.open(config)) as catalog:
        kinds = catalog.query("select kind, count(*) as n from artifacts group by all").to_pylist()
        assert {row["kind"]: row["n"] for row in kinds}["trajectories"] == 4
        assert copies(run) == 0
        rows = catalog.query(
            "select count(*) as n from verdicts where run = 'demo' and iteration = 1"
        ).to_pylist()
        assert rows == [{"n": 4}]
        assert copies(run) == (1 if remote else 0)
        assert catalog.query("select count(*) as n from verdicts").to_pylist() == [{"n": 6}]
        assert copies(run) == (2 if remote else 0)


def test_nothing_changed_is_seen_by_listing_alone(run, config, tmp_path) -> None:
    objects = ArtifactStore.open(config).objects
    file = tmp_path / "x.index"
    assert open_index(objects, file=file, worth_keeping=1).num_read > 20
    assert open_index(objects, file=file, worth_keeping=1).num_read == 0
    run.store.write_table("rewards", [], stage_key="late", name="rewards")
    assert open_index(objects, file=file, worth_keeping=1).num_read == 1


def test_lineage_is_the_same_in_an_archived_copy(run, config, tmp_path) -> None:
    archive_run(run.store, "demo", tmp_path / "demo.tar")
    copy = ArtifactStore.open(tmp_path / "copy")
    restore_run(copy, tmp_path / "demo.tar")
    documents = []
    for store in (ArtifactStore.open(config), copy):
        assert verify_store(store).problems == []
        known = LineageStore(store, open_index(store.objects))
        node, place = resolve_node(known, "demo/1/more_hops")
        found = document("x", lineage_down(known, node, place), lineage_up(known, node, place))
        documents.append(found)
    assert documents[0] == documents[1]
    assert documents[0]["counts"]["made_from"]["page"] == 2


def test_an_archive_of_a_local_store_goes_into_a_bucket(run, place, tmp_path) -> None:
    archive_run(run.store, "demo", tmp_path / "demo.tar")
    other = ArtifactStore.open(place.new())
    assert restore_run(other, tmp_path / "demo.tar").num_new > 30
    assert verify_store(other).problems == []


def test_damage_is_named_there_too(run) -> None:
    path = run.store.manifest(run.made["rl"]["trajectories"]).files[0].path
    data = run.store.objects.get(path)
    run.store.objects.put(path, data[:-9] + b"123456789")
    assert [problem.path for problem in verify_store(run.store).problems] == [path]


def test_a_dropped_run_is_removed(run, config, tmp_path) -> None:
    kept = make_sample_run(run.store, tmp_path / "models", "kept")
    collect(run.store, plan_collection(run.store, ["demo"], 0.0))
    fresh = ArtifactStore.open(config)
    assert {manifest.run for manifest in fresh.manifests()} == {"kept"}
    assert verify_store(fresh).problems == []
    assert fresh.read_trajectories(kept.made["rl"]["trajectories"])
