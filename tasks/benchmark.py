"""The benchmark and gate stages: greedy answers to questions that no training sees."""

from __future__ import annotations

from dataclasses import fields

from agents.errors import UsageError
from evaluation.benchmarks import IN_DOMAIN, OUT_OF_DOMAIN, BenchmarkScore
from evaluation.gate import GateDecision, decide
from tasks.artifacts import ArtifactStore
from tasks.benchmark_files import benchmark_questions
from tasks.config import StageConfig, StageContext
from tasks.references import resolve
from tasks.sampled import run_sampling
from tasks.schemas import POLICIES
from tasks.selection import GATE_SPLIT, gate_questions, held_out_questions
from tasks.stage import StageOutcome
from tasks.stage_task import stage_task


@stage_task("answer held-out questions")
def score_policy(
    config: StageConfig, context: StageContext, questions: str, policy: str, gate: bool = False
) -> StageOutcome:
    """Asks a policy the benchmarks' questions, or those of the gate.

    Args:
        config: The configuration.
        context: Which stage of which run it is.
        questions: Reference of the questions; `benchmark.file` stands in for the benchmarks'.
        policy: Reference of the policy.
        gate: Whether to ask the gate's questions instead of the benchmarks'.

    Returns:
        The artifacts `answers`, `benchmarks`, `trajectories` and `pages`.

    Raises:
        UsageError: A benchmark is unknown, or there are no questions to ask.
    """
    store = ArtifactStore.open(config.store)
    if gate:
        ref = resolve(store, "questions", questions)
    else:
        ref = benchmark_questions(store, config, context.run, questions)
    known = store.read_questions(ref)
    asked = (
        gate_questions(known, config.gate) if gate else held_out_questions(known, config.benchmark)
    )
    if not asked:
        raise UsageError(
            f"the question set has no {GATE_SPLIT if gate else 'benchmark'} questions; "
            "raise questions.num_gate or questions.num_per_benchmark"
        )
    benchmark = config.benchmark
    return run_sampling(
        store,
        config,
        context,
        "gate" if gate else "benchmark",
        "tasks.jobs.benchmark:run",
        sections={
            "benchmark": {
                "temperature": benchmark.temperature,
                "confidence": benchmark.confidence,
            }
        },
        inputs={"questions": ref, "policy": resolve(store, POLICIES, policy)},
        outputs=("benchmarks", "answers", "trajectories", "pages"),
        question_ids=[question.question_id for question in asked],
        options={"source": "gate" if gate else "benchmark"},
    )


def scores_of(config: StageConfig, benchmarks: str) -> dict[str, BenchmarkScore]:
    """Scores by benchmark of a `benchmarks` artifact, in the order they were asked."""
    store = ArtifactStore.open(config.store)
    rows = store.read_table(resolve(store, "benchmarks", benchmarks)).to_pylist()
    names = [field.name for field in fields(BenchmarkScore)]
    scores = {row["benchmark"]: BenchmarkScore(**{n: row[n] for n in names}) for row in rows}
    order = list(dict.fromkeys((*IN_DOMAIN, *OUT_OF_DOMAIN, *sorted(scores))))
    return {name: scores[name] for name in order if name in scores}


def gate_decision(config: StageConfig, current: str, candidate: str) -> GateDecision:
    """Decides on a candidate from two `answers` artifacts of the gate's questions."""
    store = ArtifactStore.open(config.store)
    first, second = (
        {
            row["question_id"]: row["accuracy"]
            for row in store.read_table(resolve(store, "answers", reference)).to_pylist()
        }
        for reference in (current, candidate)
    )
    return decide(first, second, config.gate, config.seed)
