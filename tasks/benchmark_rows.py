"""Answers and scores as rows, and back."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from agents.trajectory import Question, Trajectory
from evaluation.benchmarks import BenchmarkConfig
from evaluation.judging.marks import Judge, JudgeItem, Mark
from evaluation.scoring import score_answer
from evaluation.summaries import BenchmarkScore, ScoredAnswer, summarise

PROTOCOL = "protocol"
"""Key of the metadata of `answers` and `benchmarks` that says how they were measured."""
SAMPLED_AS = "sampled_as"
"""Key of the metadata of `trajectories` that names all that they depend on, judges left out."""


def answer_rows(
    questions: Mapping[str, Question],
    trajectories: Sequence[Trajectory],
    config: BenchmarkConfig,
    judge: Judge,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows of `answers`, and numbers about the judging that are worth showing.

    An infrastructure fault is no wrong answer: what it ended has no row.

    Args:
        questions: The questions by id.
        trajectories: What came of asking them.
        config: How exact match and F1 are normalised.
        judge: Who marks the answers.

    Raises:
        BudgetError: The judge's budget is spent; its cache keeps what it said.
    """
    answered = [t for t in trajectories if not t.stop_reason.is_infrastructure]
    items = [
        JudgeItem(t.question_id, question.text, question.answers, t.answer)
        for t in answered
        for question in (questions[t.question_id],)
    ]
    marks = judge.mark(items)
    rows = [
        _answer_row(questions[t.question_id], t, config, mark)
        for t, mark in zip(answered, marks, strict=True)
    ]
    return rows, _judging_metrics(marks)


def benchmark_rows(
    answers: Sequence[Mapping[str, Any]], failed: Mapping[str, int], config: BenchmarkConfig, k: int
) -> list[dict[str, Any]]:
    """Rows of `benchmarks` from those of `answers`.

    Args:
        answers: The answers of one policy.
        failed: How many attempts an infrastructure fault ended, by benchmark.
        config: Confidence of the intervals.
        k: k of pass@k and cons@k.
    """
    by_name: dict[str, list[ScoredAnswer]] = defaultdict(list)
    for answer in answers:
        by_name[answer["benchmark"]].append(scored(answer))
    policy = answers[0]["policy"]
    return [
        {
            "policy": policy,
            "benchmark": name,
            **asdict(
                summarise(group, confidence=config.confidence, k=k, failed=failed.get(name, 0))
            ),
        }
        for name, group in by_name.items()
    ]


def failures(
    questions: Mapping[str, Question], trajectories: Sequence[Trajectory]
) -> Mapping[str, int]:
    """How many attempts an infrastructure fault ended, by benchmark."""
    return Counter(
        questions[t.question_id].split for t in trajectories if t.stop_reason.is_infrastructure
    )


def scored(row: Mapping[str, Any]) -> ScoredAnswer:
    """The scored answer that a row of `answers` holds; older rows were marked by rule alone."""
    return ScoredAnswer(
        question_id=row["question_id"],
        em=row["em"],
        f1=row["f1"],
        accuracy=row["accuracy"],
        correct=row["accuracy"] if row["judged_by"] is None else row["judge"],
        family=row["family"] or "",
        num_hops=row["num_hops"] or 0,
        num_tool_calls=row["num_tool_calls"],
        num_tokens=row["num_tokens"],
        seconds=row["seconds"] or 0.0,
        cost=row["cost"] or 0.0,
    )


def score_of(row: Mapping[str, Any]) -> BenchmarkScore:
    """The score that a row of `benchmarks` holds."""
    return BenchmarkScore(**{field.name: row[field.name] for field in fields(BenchmarkScore)})


def _answer_row(
    question: Question, trajectory: Trajectory, config: BenchmarkConfig, mark: Mark
) -> dict[str, Any]:
    score = score_answer(trajectory.answer, question.answers, config.normalisation)
    return {
        "policy": trajectory.policy,
        "benchmark": question.split,
        "question_id": question.question_id,
        "attempt": trajectory.rollout_index,
        "family": question.family,
        "num_hops": question.num_hops,
        "trajectory_id": trajectory.trajectory_id,
        "predicted": trajectory.answer,
        "golds": list(question.answers),
        **asdict(score),
        "judge": None if mark.correct is None else float(mark.correct),
        "judged_by": mark.judge,
        "judge_reason": mark.reason,
        "stop_reason": trajectory.stop_reason.value,
        "num_tokens": len(trajectory.token_ids),
        "num_tool_calls": trajectory.num_tool_calls,
        "seconds": trajectory.wall_s,
        "cost": trajectory.cost + sum(reading.cost for reading in trajectory.readings),
    }


def _judging_metrics(marks: Sequence[Mark]) -> dict[str, float]:
    asked = [mark for mark in marks if mark.tokens and not mark.cached]
    return {
        "unjudged": sum(mark.correct is None for mark in marks),
        "judge_tokens": sum(mark.tokens for mark in asked),
        "judge_cost": sum(mark.cost for mark in asked),
    }
