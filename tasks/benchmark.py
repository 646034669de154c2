"""The benchmark and gate stages: answers to questions that no training sees, and their scores.

Sampling and scoring depend on different settings. The answers are reused where only the scoring
changed, so that another judge costs no rollout: see `_made_before`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from agents.errors import UsageError
from agents.trajectory import Question
from evaluation.benchmarks import IN_DOMAIN, OUT_OF_DOMAIN, k_of
from evaluation.gate import GateDecision, decide
from evaluation.summaries import BenchmarkScore, ScoredAnswer, break_down
from tasks.api_policies import policy_to_ask
from tasks.artifacts import ArtifactStore
from tasks.benchmark_files import benchmark_questions
from tasks.benchmark_rows import PROTOCOL, SAMPLED_AS, score_of, scored
from tasks.config import StageConfig, StageContext
from tasks.construct import web_digest
from tasks.manifest import ArtifactRef, Manifest
from tasks.references import resolve
from tasks.sampled import sampling_work
from tasks.sampling_inputs import ids_digest, prompt_digest, sampling_sections
from tasks.selection import GATE_SPLIT, gate_questions, held_out_questions
from tasks.stage import StageOutcome, run_stage
from tasks.stage_cache import stage_key
from tasks.stage_task import stage_task
from tasks.web_caches import replayed_caches


@stage_task("answer held-out questions")
def score_policy(
    config: StageConfig, context: StageContext, questions: str, policy: str, gate: bool = False
) -> StageOutcome:
    """Asks a policy the benchmarks' questions, or those of the gate.

    Args:
        config: The configuration.
        context: Which stage of which run it is.
        questions: Reference of the questions; `benchmark.file` stands in for the benchmarks'.
        policy: Reference of the policy, or `openai:MODEL`.
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
    stage = "gate" if gate else "benchmark"
    inputs = {"questions": ref, "policy": policy_to_ask(store, config, policy)}
    sampled_as = _sampled_as(store, config, context, stage, inputs, asked)
    work = sampling_work(
        store,
        config,
        context,
        stage,
        "tasks.jobs.benchmark:run",
        sections={"benchmark": {**_sampled_by(config, gate), **config.benchmark.scored_by}},
        inputs=inputs,
        outputs=("benchmarks", "answers", "trajectories", "pages"),
        question_ids=[question.question_id for question in asked],
        options={
            "source": stage,
            "rollouts": _made_before(store, context, stage, sampled_as),
            SAMPLED_AS: sampled_as,
            PROTOCOL: _protocol(store, config, inputs, gate),
        },
    )
    return run_stage(store, context, work)


def scores_of(config: StageConfig, benchmarks: str) -> dict[str, BenchmarkScore]:
    """Scores by benchmark of a `benchmarks` artifact, in the order they were asked."""
    store = ArtifactStore.open(config.store)
    rows = store.read_table(resolve(store, "benchmarks", benchmarks)).to_pylist()
    scores = {row["benchmark"]: score_of(row) for row in rows}
    order = list(dict.fromkeys((*IN_DOMAIN, *OUT_OF_DOMAIN, *sorted(scores))))
    return {name: scores[name] for name in order if name in scores}


def gate_decision(config: StageConfig, current: str, candidate: str) -> GateDecision:
    """Decides on a candidate from two `answers` artifacts of the gate's questions.

    The judge's marks count; a question that it failed on for either policy is left out.
    """
    store = ArtifactStore.open(config.store)
    first, second = (
        {
            answer.question_id: answer.correct
            for answer in answers_in(store, resolve(store, "answers", reference))
            if answer.correct is not None
        }
        for reference in (current, candidate)
    )
    return decide(first, second, config.gate, config.seed)


def breakdown(store: ArtifactStore, answers: Manifest) -> dict[str, dict[str, dict[str, Any]]]:
    """Scores by hops and by type of question, benchmark by benchmark; the gate's are left out."""
    protocol = answers.metadata.get(PROTOCOL, {})
    by_name: dict[str, list[ScoredAnswer]] = defaultdict(list)
    for row in store.read_table(answers.ref).to_pylist():
        if row["benchmark"] != GATE_SPLIT:
            by_name[row["benchmark"]].append(scored(row))
    found = {
        name: break_down(group, confidence=protocol.get("confidence", 0.95), k=protocol.get("k", 1))
        for name, group in by_name.items()
    }
    return {
        name: {
            way: {part: asdict(score) for part, score in parts.items()}
            for way, parts in ways.items()
        }
        for name, ways in found.items()
        if ways
    }


def answers_in(store: ArtifactStore, answers: ArtifactRef) -> list[ScoredAnswer]:
    """The scored answers of an `answers` artifact."""
    return [scored(row) for row in store.read_table(answers).to_pylist()]


def _sampled_by(config: StageConfig, gate: bool) -> dict[str, Any]:
    """The settings that answers depend on; the gate's are always greedy and single."""
    return {} if gate else config.benchmark.sampled_by


def _sampled_as(
    store: ArtifactStore,
    config: StageConfig,
    context: StageContext,
    stage: str,
    inputs: dict[str, ArtifactRef],
    asked: list[Question],
) -> str:
    """Names all that the rollouts depend on, and nothing of what only their scores depend on."""
    return stage_key(
        "benchmark_rollouts",
        {
            **sampling_sections(config),
            "benchmark": _sampled_by(config, stage == "gate"),
            "source": stage,
            "caches": [ref.digest for ref in replayed_caches(store, config, context, stage)],
        },
        [
            *inputs.values(),
            web_digest(store, inputs["questions"]),
            ids_digest([question.question_id for question in asked]),
        ],
        config.seed,
        iteration=0,
    )


def _made_before(
    store: ArtifactStore, context: StageContext, stage: str, sampled_as: str
) -> dict[str, str] | None:
    """The newest trajectories that were sampled just so; None where they are to be made anew."""
    if stage in context.redo or "all" in context.redo:
        return None
    for manifest in reversed(store.manifests()):
        if (
            manifest.ref.kind == "trajectories"
            and manifest.metadata.get(SAMPLED_AS) == sampled_as
            and store.find(manifest.ref.key, "pages") is not None
        ):
            return manifest.ref.to_json()
    return None


def _protocol(
    store: ArtifactStore, config: StageConfig, inputs: dict[str, ArtifactRef], gate: bool
) -> dict[str, Any]:
    """What a score means: all that must be equal for two of them to be comparable."""
    benchmark = config.benchmark
    return {
        "questions": inputs["questions"].digest,
        "corpus": web_digest(store, inputs["questions"]),
        "web": config.web.that_matters,
        "agents": config.agents.model_dump(mode="json"),
        "prompt_file": prompt_digest(config),
        "normalisation": benchmark.normalisation,
        **_sampled_by(config, gate),
        "k": 1 if gate else k_of(benchmark),
        "confidence": benchmark.confidence,
        "seed": config.seed,
    }
