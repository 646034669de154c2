"""Artifacts are whole or absent, named by content, and come back as they went in."""

from __future__ import annotations

import dataclasses
import random
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import question, trajectory

from agents.errors import StoreError, UsageError
from agents.trajectory import Hop, Question, StopReason, Trajectory, Turn
from tasks.artifacts import ArtifactStore
from tasks.manifest import ArtifactRef, Manifest
from tasks.rows import question_of, question_row, trajectory_of, trajectory_row
from tasks.tables import conform, from_parquet, kind_of, to_parquet


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "a store")


def write(store: ArtifactStore, trajectories: list[Trajectory], key: str = "rollout-1"):
    rows = [trajectory_row(t) for t in trajectories]
    return store.write_table("trajectories", rows, stage_key=key, name="rollouts", run="r")


text = st.text(st.characters(codec="utf-8"), max_size=12)
counts = st.integers(0, 2**31 - 1)
reals = st.floats(width=32, allow_nan=False, allow_infinity=False)
hops = st.builds(Hop, text, text, text, text)
questions = st.builds(
    Question,
    text,
    text,
    st.lists(text, max_size=3).map(tuple),
    text,
    text,
    counts,
    text,
    st.lists(hops, max_size=3).map(tuple),
)
turns = st.builds(
    Turn,
    counts,
    text,
    text,
    text,
    text,
    text,
    st.lists(text, max_size=2).map(tuple),
    text,
    counts,
    counts,
    reals,
    reals,
)
trajectories = st.builds(
    Trajectory,
    trajectory_id=text,
    question_id=text,
    rollout_index=counts,
    policy=text,
    iteration=counts,
    source=text,
    temperature=reals,
    token_ids=st.lists(counts, max_size=5).map(tuple),
    loss_mask=st.lists(st.integers(0, 1), max_size=5).map(tuple),
    logprobs=st.lists(reals, max_size=5).map(tuple),
    num_prompt_tokens=counts,
    turns=st.lists(turns, max_size=3).map(tuple),
    answer=st.none() | text,
    stop_reason=st.sampled_from(StopReason),
    format_ok=st.booleans(),
    num_tool_calls=counts,
    error=text,
    wall_s=reals,
)


@given(questions)
def test_any_question_survives_parquet(value: Question) -> None:
    kind = kind_of("questions")
    data = to_parquet(conform(kind, [question_row(value)]))
    assert question_of(from_parquet(kind, data, "x").to_pylist()[0]) == value


@given(trajectories)
def test_any_trajectory_survives_parquet(value: Trajectory) -> None:
    kind = kind_of("trajectories")
    data = to_parquet(conform(kind, [trajectory_row(value)]))
    assert trajectory_of(from_parquet(kind, data, "x").to_pylist()[0]) == value


def test_lone_surrogates_of_a_policy_are_stored(store: ArtifactStore) -> None:
    ref = write(store, [trajectory(answer="bad \ud800 text")])
    assert store.read_trajectories(ref)[0].answer == "bad ? text"


@settings(max_examples=20)
@given(st.randoms(use_true_random=False), st.lists(reals, min_size=6, max_size=6))
def test_digest_ignores_order_and_timings(
    tmp_path_factory: pytest.TempPathFactory, shuffle: random.Random, timings: list[float]
) -> None:
    store = ArtifactStore.open(tmp_path_factory.mktemp("store"))
    plain = [trajectory(i) for i in range(6)]
    timed = [
        dataclasses.replace(
            t, wall_s=s, turns=tuple(dataclasses.replace(u, generate_s=s) for u in t.turns)
        )
        for t, s in zip(plain, timings, strict=True)
    ]
    shuffle.shuffle(timed)
    assert write(store, plain, "a").digest == write(store, timed, "b").digest


@pytest.mark.parametrize(
    "change",
    [
        {"answer": "franc"},
        {"token_ids": (1, 2, 3, 4, 5, 7)},
        {"logprobs": (0.0, 0.0, -0.5, -0.25, 0.0, -2.0)},
        {"turns": ()},
    ],
)
def test_digest_covers_content(store: ArtifactStore, change: dict) -> None:
    changed = dataclasses.replace(trajectory(), **change)
    assert write(store, [trajectory()], "a").digest != write(store, [changed], "b").digest


def test_equal_content_twice_is_one_object_with_two_manifests(store: ArtifactStore) -> None:
    first = write(store, [trajectory(wall_s=1.0)], "a")
    second = write(store, [trajectory(wall_s=9.0)], "b")
    assert store.manifest(first).files == store.manifest(second).files
    assert store.read_trajectories(second)[0].wall_s == 1.0


def test_the_first_writer_of_a_key_wins_and_both_succeed(tmp_path: Path) -> None:
    refs: list[ArtifactRef] = []

    def work(i: int) -> None:
        own = ArtifactStore.open(tmp_path)
        refs.append(write(own, [trajectory(answer=str(i))]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = ArtifactStore.open(tmp_path)
    assert len(refs) == 8
    assert len(set(refs)) == 1
    assert [m.ref for m in store.manifests()] == [refs[0]]
    assert len(store.read_trajectories(refs[0])) == 1


def test_manifest_says_where_an_artifact_came_from(store: ArtifactStore) -> None:
    asked = store.write_table("questions", [question_row(question())], stage_key="c", name="q")
    ref = store.write_table(
        "trajectories",
        [trajectory_row(trajectory())],
        stage_key="k",
        name="rollouts",
        parents=[asked],
        run="demo",
        iteration=3,
        metadata={"policy": "p"},
    )
    found = ArtifactStore.open(store.uri).find("k", "rollouts")
    assert found is not None
    assert (found.ref, found.parents, found.run, found.iteration) == (ref, (asked,), "demo", 3)
    assert (found.num_rows, found.metadata) == (1, {"policy": "p"})
    assert Manifest.from_bytes(found.to_bytes(), "x") == found
    assert ArtifactRef.from_json(ref.to_json()) == ref
    assert store.find("k", "other") is None


def test_empty_tables_are_artifacts_too(store: ArtifactStore) -> None:
    ref = store.write_table("rewards", [], stage_key="k", name="rewards")
    assert store.read_table(ref).num_rows == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"trajectory_id": "a"}], "missing columns"),
        (
            [{"trajectory_id": "a", "question_id": "q", "format": 1, "answer": 1, "x": 1}],
            "unknown",
        ),
        ([{"trajectory_id": None, "question_id": "q", "format": 1, "answer": 1}], "not be null"),
        ([{"trajectory_id": "a", "question_id": "q", "format": "y", "answer": 1}], "do not fit"),
        ([{"trajectory_id": "a", "question_id": "q", "format": 1, "answer": 1}] * 2, "twice"),
        (pa.table({"trajectory_id": ["a"]}), "missing columns"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_leave_nothing(
    store: ArtifactStore, rows: object, message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        store.write_table("rewards", rows, stage_key="k", name="rewards")  # type: ignore[arg-type]
    assert store.objects.paths("") == []


def test_an_arrow_table_of_wider_types_is_brought_into_shape(store: ArtifactStore) -> None:
    table = pa.table(
        {
            "kept": [True, False],
            "trajectory_id": pa.array(["b", "a"], pa.large_string()),
            "question_id": ["q", "q"],
            "reason": ["top", "wrong"],
            "rank": pa.array([1, None], pa.int64()),
        }
    )
    ref = store.write_table("verdicts", table, stage_key="k", name="verdicts")
    assert store.read_table(ref).column("trajectory_id").to_pylist() == ["a", "b"]


def test_a_damaged_table_is_refused_by_name(store: ArtifactStore) -> None:
    ref = write(store, [trajectory()])
    path = store.objects.path_of(store.manifest(ref).files[0].path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"rows\.parquet is damaged"):
        store.read_table(ref)
    path.unlink()
    with pytest.raises(StoreError, match=r"rows\.parquet is missing"):
        store.read_table(ref)


def test_a_damaged_manifest_is_refused_by_name(store: ArtifactStore) -> None:
    write(store, [trajectory()])
    path = store.objects.path_of("manifests/rollout-1/rollouts.json")
    path.write_text(path.read_text()[:50])
    with pytest.raises(StoreError, match=r"rollouts\.json is damaged"):
        ArtifactStore.open(store.uri).manifests()


def test_an_artifact_without_manifest_does_not_exist(store: ArtifactStore) -> None:
    ref = write(store, [trajectory()])
    store.objects.path_of("manifests/rollout-1/rollouts.json").unlink()
    fresh = ArtifactStore.open(store.uri)
    assert fresh.manifests() == []
    with pytest.raises(StoreError, match="not in the store"):
        fresh.read_table(ref)


def test_a_store_that_is_no_folder_is_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="got a file"):
        ArtifactStore.open(tmp_path / "file")
    with pytest.raises(UsageError, match="got ftp://"):
        ArtifactStore.open("ftp://host/x")


def test_a_store_by_uri_is_the_store_by_path(store: ArtifactStore) -> None:
    ref = write(store, [trajectory()])
    assert "%20" in store.uri
    assert ArtifactStore.open(store.uri).read_trajectories(ref) == [trajectory()]
