"""A few trajectories of a stage, right and wrong ones, as an artifact that people can read.

Everything in them is of unknown origin: the policy's words and the pages'. All of it is escaped.
What is shown is bounded, so that the server's database does not grow with the trajectories.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from tasks.artifacts import ArtifactStore
from tasks.benchmark_rows import scored
from tasks.config import StageConfig, StageContext
from tasks.manifest import ArtifactRef
from tasks.markdown_text import block, inline
from tasks.prefect_artifacts import subject_of
from tasks.prefect_publishing import artifact_key, publish_markdown
from tasks.references import resolve
from tasks.storage.table_files import read_columns

_NUM_OF_EACH = 2
"""Right and wrong trajectories to show of each stage."""
_MOST_TURNS = 12
_MOST_TEXT = 600
"""Characters of a thought, a call or an observation."""

_COLUMNS = ("trajectory_id", "turns", "answer", "stop_reason", "num_tokens", "num_tool_calls")


@dataclass(frozen=True)
class Sample:
    """A trajectory to show.

    Attributes:
        trajectory_id: Its id.
        question_id: Its question.
        is_right: Whether its answer is.
        verdict: What the filter or the judge says of it.
    """

    trajectory_id: str
    question_id: str
    is_right: bool
    verdict: str


def publish_rollout_samples(config: StageConfig, context: StageContext, verdicts: str) -> None:
    """Publishes a few of the trajectories that a filter has read, with its verdicts.

    Args:
        config: The configuration.
        context: Which filter of which run it was.
        verdicts: Reference of its verdicts.
    """
    store = ArtifactStore.open(config.store)
    ref = resolve(store, "verdicts", verdicts)
    parents = {parent.kind: parent for parent in store.manifest(ref).parents}

    def made() -> str:
        verdict = {row["trajectory_id"]: row["reason"] for row in store.read_table(ref).to_pylist()}
        rewarded = store.find(ref.key, "rewards")
        rewards = store.read_table(rewarded.ref).to_pylist() if rewarded else []
        samples = [
            Sample(
                row["trajectory_id"],
                row["question_id"],
                row["answer"] >= 1.0,
                f"the filter says: {verdict[row['trajectory_id']].replace('_', ' ')}",
            )
            for row in rewards
            if row["total"] is not None
        ]
        return _document(store, samples, parents["trajectories"], parents["questions"])

    _publish(context, f"rollouts that the filter of {subject_of(context)} read", ref, made)


def publish_answer_samples(config: StageConfig, context: StageContext, answers: str) -> None:
    """Publishes a few of the trajectories that answered a benchmark, with the judge's marks.

    Args:
        config: The configuration.
        context: Which benchmark of which run it was.
        answers: Reference of its answers.
    """
    store = ArtifactStore.open(config.store)
    ref = resolve(store, "answers", answers)
    parents = {parent.kind: parent for parent in store.manifest(ref).parents}

    def made() -> str:
        samples = [
            Sample(
                row["trajectory_id"],
                row["question_id"],
                (scored(row).correct or 0.0) >= 1.0,
                f"benchmark {row['benchmark']}",
            )
            for row in store.read_table(ref).to_pylist()
        ]
        return _document(store, samples, parents["trajectories"], parents["questions"])

    _publish(context, f"answers of {subject_of(context)} to the benchmarks", ref, made)


def _publish(context: StageContext, what: str, ref: ArtifactRef, made: Any) -> None:
    key = artifact_key("samples", context.run)
    publish_markdown(key, made, f"{context.run}: a few {what}", of=ref.digest)


def choose(samples: Sequence[Sample]) -> list[Sample]:
    """A few right and a few wrong ones, each of another question where there are enough."""
    chosen = []
    for is_right in (True, False):
        alike = [sample for sample in samples if sample.is_right == is_right]
        first = {sample.question_id: sample for sample in reversed(alike)}
        others = [sample for sample in alike if first[sample.question_id] is not sample]
        chosen += [*sorted(first.values(), key=alike.index), *others][:_NUM_OF_EACH]
    return chosen


def _document(
    store: ArtifactStore,
    samples: Sequence[Sample],
    trajectories: ArtifactRef,
    questions: ArtifactRef,
) -> str:
    chosen = choose(samples)
    rows = _rows(
        store, trajectories, "trajectory_id", [each.trajectory_id for each in chosen], _COLUMNS
    )
    asked = _rows(
        store,
        questions,
        "question_id",
        [each.question_id for each in chosen],
        ("question_id", "text", "answers"),
    )
    num_right = sum(sample.is_right for sample in samples)
    parts = [f"{num_right:,} of {len(samples):,} are right; here are a few of each."]
    for sample in chosen:
        if sample.trajectory_id in rows and sample.question_id in asked:
            parts += trajectory_text(sample, rows[sample.trajectory_id], asked[sample.question_id])
    return "\n\n".join(parts)


def _rows(
    store: ArtifactStore, ref: ArtifactRef, key: str, ids: Sequence[str], columns: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """Some rows of a table by id; of the others hardly anything is read."""
    (file,) = store.manifest(ref).files
    found = read_columns(store, file, columns, pc.field(key).isin(list(ids)))
    return {row[key]: row for row in found.to_pylist()}


def trajectory_text(
    sample: Sample, trajectory: Mapping[str, Any], question: Mapping[str, Any]
) -> Iterator[str]:
    """A trajectory as Markdown, every text in it escaped.

    Args:
        sample: Which it is, and whether it is right.
        trajectory: Its row.
        question: The row of its question.
    """
    answer = trajectory["answer"]
    yield f"## {'Right' if sample.is_right else 'Wrong'}: {inline(_cut(question['text']))}"
    golds = " or ".join(question["answers"])
    yield "  \n".join(
        [
            f"Answer: **{inline(_cut(answer)) if answer is not None else 'none'}**",
            f"Right is: {inline(_cut(golds))}",
            f"{inline(sample.verdict)}; ended by {inline(trajectory['stop_reason'])} after "
            f"{trajectory['num_tool_calls']} calls and {trajectory['num_tokens']} tokens; "
            f"trajectory {inline(sample.trajectory_id)}",
        ]
    )
    for turn in trajectory["turns"][:_MOST_TURNS]:
        yield f"**{turn['index'] + 1}. {inline(turn['action'])}**"
        yield from (
            f"{heading}\n\n{block(turn[name], _MOST_TEXT)}"
            for name, heading in (
                ("thought", "Thought"),
                ("arguments", "Asked for"),
                ("error", "Wrong with it"),
                ("observation", "Shown"),
            )
            if turn[name]
        )
    if (left := len(trajectory["turns"]) - _MOST_TURNS) > 0:
        yield f"… {left} more turns"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
