"""The filter on tables judges as its parts judge one trajectory, and takes the right tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chat_server import ChatServer
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import question, trajectory

from agents.errors import StageError, StoreError
from agents.trajectory import StopReason, Trajectory
from evaluation.judging.config import JudgeConfig
from evaluation.judging.marks import Grade, Mark
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.filter import filter_stage
from tasks.filter_tables import examples_of, filter_columns
from tasks.references import reference_of
from tasks.rows import question_row, trajectory_row
from tasks.tables import conform, kind_of
from training.config import RewardConfig
from training.filters import signature_of
from training.judged_answers import JudgedAnswers
from training.rewards import reward_of, reward_table

QUESTIONS = {q: question(q) for q in ("q0", "q1")}
JUDGE = {"kind": "api", "api": {"model": "m"}}
GRADES = {"the EUR": Grade.CORRECT, "euro franc": Grade.UNJUDGED}


class WrittenJudge:
    """Says what was written down; all else is wrong."""

    identity = "written"

    def mark(self, items):
        return [Mark(GRADES.get(i.predicted, Grade.INCORRECT), "so", "written") for i in items]

    def close(self) -> None: ...


drawn = st.lists(
    st.builds(
        lambda q, answer, reason, ok: (q, answer, reason, ok),
        st.sampled_from(sorted(QUESTIONS)),
        st.none() | st.sampled_from(["euro", "Euro.", "the EUR", "franc", "", "  ", "euro franc"]),
        st.sampled_from(StopReason),
        st.booleans(),
    ),
    max_size=12,
)


def made(rows: list[tuple]) -> list[Trajectory]:
    return [
        replace(
            trajectory(index, question_id, answer=answer),
            stop_reason=reason,
            format_ok=ok,
            token_ids=(index, 2, 3),
            loss_mask=(0, 1, index % 2),
            logprobs=(0.0, -1.0, -1.0),
        )
        for index, (question_id, answer, reason, ok) in enumerate(rows)
    ]


def written(folder: Path, trajectories: list[Trajectory]) -> Path:
    table = conform(kind_of("trajectories"), [trajectory_row(t) for t in trajectories])
    pq.write_table(table, folder / "rows.parquet", row_group_size=3)
    return folder / "rows.parquet"


@settings(max_examples=60, deadline=None)
@given(
    drawn,
    st.builds(
        RewardConfig,
        kind=st.sampled_from(["evolvesearch", "webdancer"]),
        answer=st.sampled_from(["accuracy", "f1", "em", "judge"]),
        judge=st.just(JudgeConfig.model_validate(JUDGE)),
    ),
)
def test_a_table_is_rewarded_as_its_rows_are(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple], config: RewardConfig
) -> None:
    trajectories = made(rows)
    file = written(tmp_path_factory.mktemp("t"), trajectories)
    judged = JudgedAnswers(WrittenJudge())
    table = reward_table(filter_columns(file, signatures=False), QUESTIONS, config, judged)
    by_id = {row["trajectory_id"]: row for row in table.to_pylist()}
    assert len(by_id) == len(trajectories)
    for each in trajectories:
        reward = reward_of(each, QUESTIONS[each.question_id], config, judged)
        row = by_id[each.trajectory_id]
        # Bit for bit: digests of rewards must not depend on the way they are computed.
        assert (row["format"], row["answer"], row["total"]) == (
            reward.format,
            reward.answer,
            reward.total,
        )


def test_signatures_are_written_only_where_they_are_asked_for(tmp_path: Path) -> None:
    trajectories = made([("q0", "euro", StopReason.ANSWER, True)] * 5)
    file = written(tmp_path, trajectories)
    with_them = filter_columns(file, signatures=True)["action_signature"].to_pylist()
    assert with_them == [
        signature_of((turn.action, turn.arguments) for turn in t.turns) for t in trajectories
    ]
    assert set(filter_columns(file, signatures=False)["action_signature"].to_pylist()) == {""}


def test_examples_are_the_tokens_of_what_is_kept(tmp_path: Path) -> None:
    trajectories = made([("q0", "euro", StopReason.ANSWER, True)] * 7)
    file = written(tmp_path, trajectories)
    kept = [trajectories[i].trajectory_id for i in (1, 6)]
    found = examples_of(file, pa.chunked_array([kept], pa.string())).to_pylist()
    assert [(row["trajectory_id"], row["token_ids"], row["loss_mask"]) for row in found] == [
        (trajectories[i].trajectory_id, [i, 2, 3], [0, 1, i % 2]) for i in (1, 6)
    ]
    assert examples_of(file, pa.chunked_array([], pa.string())).num_rows == 0


def test_a_question_without_answers_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, made([("q0", "euro", StopReason.ANSWER, True)]))
    with pytest.raises(StageError, match="question q0 is not among the questions"):
        reward_table(filter_columns(file, signatures=False), {}, RewardConfig())


def stage(store: ArtifactStore, **settings: object) -> dict:
    config = StageConfig.model_validate({"store": {"uri": store.uri}, **settings})
    refs = {m.ref.kind: reference_of(m.ref) for m in store.manifests() if m.ref.key == "made"}
    done = filter_stage.fn(config, StageContext(run="r"), refs["questions"], refs["trajectories"])
    return {"refs": dict(done.artifacts), "metrics": dict(done.metrics)}


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    store = ArtifactStore.open(tmp_path / "store")
    trajectories = made(
        [
            ("q0", "euro", StopReason.ANSWER, True),
            ("q0", "franc", StopReason.ANSWER, True),
            ("q1", "euro", StopReason.ANSWER, False),
            ("q1", None, StopReason.ENGINE_ERROR, True),
        ]
    )
    rows = {
        "questions": [question_row(q) for q in QUESTIONS.values()],
        "trajectories": [trajectory_row(t) for t in trajectories],
    }
    for kind, each in rows.items():
        store.write_table(kind, each, stage_key="made", name=kind)
    return store


def test_the_stage_writes_rewards_verdicts_and_examples(store: ArtifactStore) -> None:
    done = stage(store)
    tables = {name: store.read_table(ref).to_pylist() for name, ref in done["refs"].items()}
    assert [row["reason"] for row in tables["verdicts"]] == [
        "kept",
        "incorrect",
        "malformed",
        "infrastructure",
    ]
    assert [row["total"] for row in tables["rewards"]] == [1.0, 0.5, 0.0, None]
    assert [row["token_ids"] for row in tables["sft_examples"]] == [[0, 2, 3]]
    assert done["metrics"] == {
        "num_trajectories": 4,
        "num_kept": 1,
        "correct": 0.25,
        "reward_mean": 0.5,
        "num_mixed_groups": 1,
    }
    kinds = [parent.kind for parent in store.manifest(done["refs"]["sft_examples"]).parents]
    assert kinds == ["questions", "trajectories", "rewards", "verdicts"]


def test_a_judge_rewards_and_the_store_keeps_what_it_said(
    store: ArtifactStore, chat_server: ChatServer
) -> None:
    chat_server.by_text = {'"franc"': '{"judgement": "Correct"}'}
    api = {"url": chat_server.url, "model": "m", "key_variable": ""}
    reward = {"answer": "judge", "judge": {"kind": "api", "prompt": "webdancer", "api": api}}
    done = stage(store, reward=reward)
    rewards = store.read_table(done["refs"]["rewards"]).to_pylist()
    assert [row["total"] for row in rewards] == [1.0, 1.0, 0.0, None]
    # "euro" is an exact match, and a malformed answer is not judged.
    assert len(chat_server.asked) == 1
    # Prices make no other rewards; another filter asks nobody about what is known.
    api |= {"input_price": 1.0}
    assert stage(store, reward=reward)["refs"] == done["refs"]
    again = stage(store, reward=reward, filter={"top_k": 1})
    assert again["metrics"]["num_kept"] == 1
    assert len(chat_server.asked) == 1


def test_another_rule_comes_to_lie_beside_the_first(store: ArtifactStore) -> None:
    first = stage(store)
    second = stage(store, filter={"require_correct": False})
    assert second["metrics"]["num_kept"] == 2
    assert store.manifest(first["refs"]["verdicts"]).ref != second["refs"]["verdicts"]
    assert first["refs"]["rewards"].digest == second["refs"]["rewards"].digest


def test_damaged_trajectories_are_refused_by_name(store: ArtifactStore) -> None:
    (path,) = store.objects.paths("artifacts/trajectories")
    store.objects.path_of(path).write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"rows\.parquet is damaged"):
        stage(store)
