"""Child of the benchmark and gate stages: greedy answers and their scores."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agents.errors import StageError
from agents.randomness import derive_seed
from agents.runner import RolloutJob
from agents.trajectory import Question, Trajectory
from evaluation.benchmarks import summarise
from evaluation.scoring import AnswerScore, score_answer
from tasks.heavy.child import Emit
from tasks.jobs.page_log import PageLog, write_rollouts
from tasks.jobs.payload import Job
from tasks.jobs.sampling import open_sampler, sampling_metrics
from tasks.shards import ShardLog, clear_partial


def run(payload: dict[str, Any], _emit: Emit) -> dict[str, Any]:
    """Asks `options.question_ids` and writes `pages`, `trajectories`, `answers`, `benchmarks`."""
    job = Job(payload)
    config, source = job.config, str(job.options["source"])
    known = {q.question_id: q for q in job.store.read_questions(job.inputs["questions"])}
    questions = [known[question_id] for question_id in job.options["question_ids"]]
    policy = job.inputs["policy"]
    rollouts = [
        RolloutJob(
            question=question,
            rollout_index=0,
            seed=derive_seed(config.seed, source, question.question_id),
            temperature=config.benchmark.temperature,
            top_p=1.0,
            iteration=job.context.iteration,
            policy=policy.digest,
            source=source,
        )
        for question in questions
    ]
    with open_sampler(job.store.policy_folder(policy), config) as sampler:
        description = "Gate questions" if source == "gate" else "Benchmark questions"
        pages, log = PageLog(job.store, job.key, sampler.recorder), ShardLog(job.store, job.key)
        trajectories = sampler.run_logged(rollouts, description, log, pages)
    metrics = {"metrics": sampling_metrics(trajectories)}
    recorded = write_rollouts(job, trajectories, pages, metrics)
    # An infrastructure fault is not a wrong answer: `num_questions` shows how many were scored.
    answers = [
        _answer_row(question, trajectory)
        for question, trajectory in zip(questions, trajectories, strict=True)
        if not trajectory.stop_reason.is_infrastructure
    ]
    if not answers:
        raise StageError(
            f"none of {len(questions)} {source} questions could be scored; the first failed with: "
            f"{trajectories[0].error if trajectories else 'there are no questions'}"
        )
    answered = job.write_table("answers", answers, parents=[recorded])
    scores = _benchmark_rows(answers, config.benchmark.confidence)
    job.write_table("benchmarks", scores, parents=[answered])
    clear_partial(job.store, job.key)
    return {}


def _answer_row(question: Question, trajectory: Trajectory) -> dict[str, Any]:
    score = score_answer(trajectory.answer, question.answers)
    return {
        "policy": trajectory.policy,
        "benchmark": question.split,
        "question_id": question.question_id,
        "trajectory_id": trajectory.trajectory_id,
        "predicted": trajectory.answer,
        "golds": list(question.answers),
        "em": float(score.em),
        "f1": float(score.f1),
        "accuracy": float(score.accuracy),
        "judge": None,
        "stop_reason": trajectory.stop_reason.value,
        "num_tokens": len(trajectory.token_ids),
        "num_tool_calls": trajectory.num_tool_calls,
    }


def _benchmark_rows(answers: list[dict[str, Any]], confidence: float) -> list[dict[str, Any]]:
    rows = []
    for name in dict.fromkeys(answer["benchmark"] for answer in answers):
        scores = [
            AnswerScore(answer["em"], answer["f1"], answer["accuracy"])
            for answer in answers
            if answer["benchmark"] == name
        ]
        summary = asdict(summarise(scores, confidence))
        rows.append({"policy": answers[0]["policy"], "benchmark": name, **summary})
    return rows
