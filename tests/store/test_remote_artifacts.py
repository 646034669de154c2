"""Artifacts in a bucket: written once, checked when read, and read through the cache."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from store_samples import question, trajectory
from store_servers import KEYS

from agents.errors import StoreError, UsageError
from tasks.artifacts import ArtifactStore
from tasks.catalog import Catalog
from tasks.config import StageConfig, StageContext
from tasks.jobs.payload import Job, payload_of
from tasks.rows import question_row, trajectory_row
from tasks.runs import PolicyEntry, RunLog, RunRecord
from tasks.schemas import TABLES
from tasks.shards import ShardLog
from tasks.storage.config import StoreConfig
from tasks.storage.table_filesystem import table_filesystem


def write(store: ArtifactStore, count: int = 3, key: str = "rollout-1", wall_s: float = 1.5):
    rows = [trajectory_row(trajectory(index, wall_s=wall_s)) for index in range(count)]
    return store.write_table("trajectories", rows, stage_key=key, name="rollouts", run="r")


@pytest.fixture
def config(place) -> StoreConfig:
    return place.new()


@pytest.fixture
def store(config) -> ArtifactStore:
    return ArtifactStore.open(config)


def test_artifacts_come_back_in_another_process_view(store, config, model):
    table, policy = write(store), store.write_policy(model, stage_key="sft-1", parents=[])
    again = ArtifactStore.open(config)
    assert [m.ref for m in again.manifests()] == [table, policy]
    assert again.read_trajectories(table) == [trajectory(index) for index in range(3)]
    folder = again.policy_folder(policy)
    for file in model.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()


def test_only_a_local_store_has_files_of_its_own(store):
    ref = write(store)
    path = store.manifest(ref).files[0].path
    own = store.objects.path_of(path)
    assert (own is None) == (store.objects.root is None) == store.objects.is_remote
    copy = store.local.table(store.manifest(ref).files[0])
    assert copy.read_bytes() == store.objects.get(path)
    assert store.local.tables_folder in copy.parents
    assert own in (None, copy)


def test_equal_content_twice_is_one_object(store):
    first, second = write(store, wall_s=1.0), write(store, key="rollout-2", wall_s=9.0)
    assert store.manifest(first).files == store.manifest(second).files
    assert {t.wall_s for t in store.read_trajectories(second)} == {1.0}


def test_a_damaged_table_is_refused_by_name(store, config):
    ref = write(store)
    path = store.manifest(ref).files[0].path
    data = store.objects.get(path)
    store.objects.put(path, data[:-9] + b"123456789")
    with pytest.raises(StoreError, match=r"rows\.parquet is damaged: [^\n]*$"):
        ArtifactStore.open(config).read_table(ref)
    with pytest.raises(StoreError, match=r"rows\.parquet is damaged: [^\n]*$"):
        write(ArtifactStore.open(config), key="rollout-2")
    store.objects.delete([path])
    with pytest.raises(StoreError, match=r"rows\.parquet is missing from the store"):
        ArtifactStore.open(config).read_table(ref)


def test_a_damaged_policy_is_refused_by_name(store, config, model):
    ref = store.write_policy(model, stage_key="k")
    path = next(f.path for f in store.manifest(ref).files if "safetensors" in f.path)
    data = store.objects.get(path)
    store.objects.put(path, b"X" + data[1:])
    with pytest.raises(StoreError, match=r"model\.safetensors is damaged|digest of .*model\.saf"):
        ArtifactStore.open(config).policy_folder(ref)
    store.objects.delete([path])
    with pytest.raises(StoreError, match=r"model\.safetensors (is missing|has no bytes)"):
        ArtifactStore.open(config).policy_folder(ref)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"num_rows": 3', b'"num_rows": 4'), (b'"run": "r"', b'"run": "s"'), (b"{", b"[")],
)
def test_a_manifest_that_was_changed_is_refused_by_name(store, config, old, new):
    ref = write(store)
    path = "manifests/rollout-1/rollouts.json"
    store.objects.put(path, store.objects.get(path).replace(old, new, 1))
    fresh = ArtifactStore.open(config)
    for use in (fresh.manifests, lambda: fresh.read_table(ref), lambda: Catalog(fresh)):
        with pytest.raises(StoreError, match=r"manifests/rollout-1/rollouts\.json is damaged"):
            use()


def test_a_manifest_under_anothers_name_is_refused(store, config):
    write(store)
    data = store.objects.get("manifests/rollout-1/rollouts.json")
    store.objects.put("manifests/rollout-2/rollouts.json", data)
    with pytest.raises(StoreError, match=r"rollout-2/rollouts\.json is damaged: it is that of"):
        ArtifactStore.open(config).find("rollout-2", "rollouts")


def test_shards_and_records_live_there_too(store, config):
    log = ShardLog(store, "rollout-1")
    log.append_trajectories([trajectory(0), trajectory(1)])
    again = ShardLog(ArtifactStore.open(config), "rollout-1")
    again.append_trajectories([trajectory(1), trajectory(2)])
    assert again.trajectories() == [trajectory(index) for index in range(3)]
    again.clear()
    assert store.objects.paths("partial") == []
    record = RunRecord("demo", "smoke", 7, "done", "t0")
    RunLog(store.objects).save_run(record)
    assert RunLog(ArtifactStore.open(config).objects).runs() == [record]


def test_sql_reads_what_is_there(store, config):
    write(store)
    store.write_table("questions", [question_row(question())], stage_key="c", name="questions")
    with Catalog(ArtifactStore.open(config)) as catalog:
        sql = "select t.run, count(*) as n from trajectories t join questions using (question_id)"
        assert catalog.query(f"{sql} group by all").to_pylist() == [{"run": "r", "n": 3}]
        with pytest.raises(UsageError, match="query: "):
            catalog.query(f"select * from read_text('{Path(__file__)}')")


def test_a_policy_is_found_by_its_runs_name_as_a_local_folder(store, config, model):
    ref = store.write_policy(model, stage_key="k")
    entry = PolicyEntry("base", 0, ref.digest, True)
    RunLog(store.objects).save_run(RunRecord("demo", "smoke", 0, "done", "t", policies=(entry,)))
    found = ArtifactStore.open(config).resolve_policy("demo")
    assert found.digest == ref.digest
    folder = Path(found.uri.removeprefix("file://"))
    assert (folder / "model.safetensors").stat().st_size == 6 << 20


def test_a_child_reaches_the_same_store_and_holds_no_keys(store, config, tmp_path):
    ref = write(store)
    payload = payload_of(
        StageConfig(store=config), StageContext(run="r"), "sft-1", {"trajectories": ref}
    )
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in str(payload)
    job = Job(payload)
    assert len(job.store.read_trajectories(job.inputs["trajectories"])) == 3
    with job.scratch() as folder:
        (folder / "weights").write_bytes(b"x")
        assert tmp_path in folder.parents
    assert not folder.exists()


def test_arrow_fetches_only_the_tables_that_a_filter_leaves(store, config):
    files = {}
    for key in ("a", "b"):
        rows = [trajectory_row(trajectory(0, answer=key))]
        ref = store.write_table("trajectories", rows, stage_key=key, name="t")
        (files[key],) = store.manifest(ref).files
    local = ArtifactStore.open(config).local
    filesystem = table_filesystem(local, list(files.values()))
    parquet = ds.ParquetFileFormat()
    fragments = [
        parquet.make_fragment(file.path, filesystem, ds.field("key") == key)
        for key, file in files.items()
    ]
    schema = TABLES["trajectories"].schema.append(pa.field("key", pa.string()))
    dataset = ds.FileSystemDataset(fragments, schema, parquet, filesystem)
    if store.objects.is_remote:
        store.objects.delete([files["a"].path])
    found = dataset.to_table(columns=["answer"], filter=ds.field("key") == "b")
    assert found.to_pylist() == [{"answer": "b"}]
    if store.objects.is_remote:
        with pytest.raises(StoreError, match=r"rows\.parquet is missing from the store"):
            dataset.to_table(columns=["answer"])


def test_an_objects_pieces_are_its_content(store, model):
    path = "w/weights"
    store.objects.put_file(path, model / "model.safetensors")
    pieces = list(store.objects.pieces(path))
    assert len(pieces) == (2 if store.objects.is_remote else 1)
    assert b"".join(pieces) == (model / "model.safetensors").read_bytes()
    with pytest.raises(StoreError, match="w/none is missing from the store"):
        list(store.objects.pieces("w/none"))
