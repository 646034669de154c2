"""The index says what a full reading says, whatever happened to the store and to the index."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import trajectory

from agents.errors import StoreError
from tasks.artifacts import ArtifactStore
from tasks.catalog import Catalog
from tasks.catalog_documents import DOCUMENTS, manifest_of
from tasks.catalog_index import FORMAT, CatalogIndex, open_index
from tasks.manifest import ROWS_ITERATION
from tasks.rows import trajectory_row
from tasks.runs import RunLog, RunRecord, StageRecord


def verdict(name: str) -> dict[str, object]:
    return {"trajectory_id": name, "question_id": "q", "kept": True, "reason": "kept", "rank": 1}


def write(store: ArtifactStore, number: int) -> None:
    store.write_table(
        "verdicts", [verdict(str(number))], stage_key=f"filter-{number}", name="verdicts", run="r"
    )


def opened(store: ArtifactStore, file: Path) -> CatalogIndex:
    return open_index(store.objects, file=file, worth_keeping=1)


def contents(index: CatalogIndex) -> dict[str, list[dict]]:
    tables = {kind.name: getattr(index, kind.name).to_pylist() for kind in DOCUMENTS}
    return {name: sorted(rows, key=lambda row: row["path"]) for name, rows in tables.items()}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("artifact"), st.integers(0, 9)),
        st.tuples(st.just("record"), st.integers(0, 3)),
        st.tuples(st.just("stage"), st.integers(0, 3)),
        st.tuples(st.just("remove"), st.integers(0, 9)),
        st.tuples(st.just("damage"), st.integers(0, 2**16)),
        st.tuples(st.just("open"), st.just(0)),
    ),
    max_size=14,
)


@settings(max_examples=30, deadline=None)
@given(steps)
def test_after_any_history_the_index_equals_a_full_reading(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("index")
    store, file = ArtifactStore.open(folder / "store"), folder / "cache" / "x.index"
    log = RunLog(store.objects)
    for count, (step, number) in enumerate(history):
        match step:
            case "artifact":
                write(ArtifactStore.open(store.uri), number)
            case "record":
                log.save_run(RunRecord(f"run{number}", "smoke", count, "done", str(count)))
            case "stage":
                log.save_stage(StageRecord("run", number, "sft", f"k{count}", "done"))
            case "remove":
                store.objects.delete([f"manifests/filter-{number}/verdicts.json"])
            case "damage" if file.exists():
                data = bytearray(file.read_bytes())
                data[number % len(data)] ^= 0xFF
                file.write_bytes(data)
            case "open":
                opened(store, file)
    index = opened(store, file)
    assert contents(index) == contents(opened(store, folder / "none.index"))
    fresh = ArtifactStore.open(store.uri)
    assert [manifest_of(row) for row in index.manifests.to_pylist()] == fresh.manifests()


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    store, file = ArtifactStore.open(tmp_path / "store"), tmp_path / "x.index"
    for number in range(5):
        write(store, number)
    assert opened(store, file).num_read == 5
    assert opened(store, file).num_read == 0
    write(store, 5)
    RunLog(store.objects).save_run(RunRecord("r", "smoke", 0, "running", "t"))
    assert opened(store, file).num_read == 2
    RunLog(store.objects).save_run(RunRecord("r", "smoke", 0, "done", "t"))
    again = opened(store, file)
    assert (again.num_read, again.runs["status"].to_pylist()) == (1, ["done"])


@pytest.mark.parametrize("content", [b"", b"x", FORMAT + b"0" * 99])
def test_a_damaged_index_is_made_anew(tmp_path: Path, content: bytes) -> None:
    store, file = ArtifactStore.open(tmp_path / "store"), tmp_path / "x.index"
    write(store, 1)
    whole = contents(opened(store, file))
    kept = file.read_bytes()
    file.write_bytes(content)
    again = opened(store, file)
    assert (again.num_read, contents(again), file.read_bytes()) == (1, whole, kept)


def test_without_a_cache_to_write_to_the_store_is_read_all_the_same(tmp_path: Path) -> None:
    store = ArtifactStore.open(tmp_path / "store")
    write(store, 1)
    (tmp_path / "file").write_text("")
    assert opened(store, tmp_path / "file" / "x.index").manifests.num_rows == 1


def test_a_small_store_leaves_no_index(tmp_path: Path) -> None:
    store = ArtifactStore.open(tmp_path / "store")
    write(store, 1)
    open_index(store.objects, file=tmp_path / "x.index")
    assert not (tmp_path / "x.index").exists()


def test_readers_and_writers_at_once_agree_in_the_end(tmp_path: Path) -> None:
    store, file = ArtifactStore.open(tmp_path / "store"), tmp_path / "x.index"
    errors: list[BaseException] = []

    def work(first: int) -> None:
        try:
            own = ArtifactStore.open(store.uri)
            for number in range(first, first + 8):
                write(own, number)
                RunLog(own.objects).save_run(RunRecord("r", "smoke", number, "running", "t"))
                found = opened(own, file)
                assert f"filter-{number}" in found.manifests["key"].to_pylist()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(8 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert opened(store, file).manifests.num_rows == 32


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    store = ArtifactStore.open(tmp_path / "store")
    write(store, 1)
    store.objects.path_of("manifests/filter-1/verdicts.json").write_text("{")
    with pytest.raises(StoreError, match=r"filter-1/verdicts\.json is damaged"):
        opened(store, tmp_path / "x.index")


def test_a_query_opens_only_the_files_that_its_filter_leaves(tmp_path: Path) -> None:
    """The other files are gone: opening one of them would be an error."""
    store = ArtifactStore.open(tmp_path / "store")
    for run in ("one", "two"):
        for iteration in (1, 2):
            where = {"run": run, "iteration": iteration}
            key = f"{run}-{iteration}"
            rows = [
                trajectory_row(trajectory(i, answer=key)) | {"iteration": iteration} for i in (0, 1)
            ]
            said = {ROWS_ITERATION: iteration}
            store.write_table(
                "trajectories", rows, stage_key=f"r-{key}", name="t", metadata=said, **where
            )
            store.write_table("verdicts", [verdict(key)], stage_key=f"f-{key}", name="v", **where)
    for manifest in store.manifests():
        if (manifest.run, manifest.iteration) != ("two", 2):
            store.objects.path_of(manifest.files[0].path).unlink()
    with Catalog(store) as catalog:
        for sql in (
            "select distinct answer from trajectories where run = 'two' and iteration = 2",
            "select max(run || '-' || iteration) from turns where run = 'two' and iteration > 1",
            "select trajectory_id from verdicts where iteration in (2) and run = 'two'",
            "with v as (select * from verdicts) select v.trajectory_id from v "
            "join trajectories t using (run, iteration) where v.run = 'two' and v.iteration = 2 "
            "and t.run = 'two' and t.iteration = 2 limit 1",
        ):
            assert [list(row.values()) for row in catalog.query(sql).to_pylist()] == [["two-2"]]
        with pytest.raises(StoreError, match="the store"):
            catalog.query("select count(*), max(answer) from trajectories")
