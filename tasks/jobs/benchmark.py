"""Child of the benchmark and gate stages: answers to held-out questions, and their scores."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from agents.errors import StageError
from evaluation.benchmarks import k_of
from evaluation.judging.opening import open_judge
from tasks.benchmark_rows import PROTOCOL, answer_rows, benchmark_rows, failures
from tasks.heavy.child import Emit
from tasks.jobs.benchmark_rollouts import adopt_rollouts, make_rollouts
from tasks.jobs.payload import Job
from tasks.judge_cache import StoredVerdicts
from tasks.manifest import ArtifactRef
from tasks.shards import clear_partial


def run(payload: dict[str, Any], _emit: Emit) -> dict[str, Any]:
    """Asks `options.question_ids` and writes `pages`, `trajectories`, `answers`, `benchmarks`."""
    job = Job(payload)
    benchmark, source = job.config.benchmark, str(job.options["source"])
    known = {q.question_id: q for q in job.store.read_questions(job.inputs["questions"])}
    questions = [known[question_id] for question_id in job.options["question_ids"]]
    # Opened first: a missing key should be known before an hour of rollouts, not after it.
    with closing(open_judge(benchmark.judge, StoredVerdicts(job.store.objects))) as judge:
        if made := job.options["rollouts"]:
            trajectories, recorded = adopt_rollouts(job, ArtifactRef.from_json(made))
        else:
            trajectories, recorded = make_rollouts(job, questions)
        answers, metrics = answer_rows(known, trajectories, benchmark, judge)
        protocol = {**job.options[PROTOCOL], "judge": judge.identity}
    if not answers:
        raise StageError(
            f"none of {len(questions)} {source} questions could be scored; the first failed with: "
            f"{trajectories[0].error if trajectories else 'there are no questions'}"
        )
    metadata = {PROTOCOL: protocol, "metrics": metrics}
    answered = job.write_table("answers", answers, parents=[recorded], metadata=metadata)
    failed, k = failures(known, trajectories), 1 if source == "gate" else k_of(benchmark)
    job.write_table(
        "benchmarks",
        benchmark_rows(answers, failed, benchmark, k),
        parents=[answered],
        metadata={PROTOCOL: protocol},
    )
    clear_partial(job.store, job.key)
    return {}
