"""Child of the closed-book stage: samples answers without tools and marks what is known."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from agents.engines.factory import make_engine
from agents.errors import StageError
from agents.randomness import derive_seed
from agents.runner import RolloutJob
from agents.snapshots import PageRecorder
from agents.trajectory import Question, Trajectory
from evaluation.contamination.closed_book import num_right, said, without_tools
from tasks.config import StageConfig
from tasks.heavy.child import Emit
from tasks.jobs.page_log import PageLog
from tasks.jobs.payload import Job
from tasks.jobs.sampling import Sampler, load_tokenizer
from tasks.rows import question_row
from tasks.selection import TRAIN_SPLIT
from tasks.shards import ShardLog, clear_partial


def run(payload: dict[str, Any], _emit: Emit) -> dict[str, Any]:
    """Asks `options.question_ids` and writes `closed_book`, and `questions` without the known."""
    job = Job(payload)
    questions = job.store.read_questions(job.inputs["questions"])
    known = {question.question_id: question for question in questions}
    asked = [known[question_id] for question_id in job.options["question_ids"]]
    answers = _answers(job, asked)
    policy = job.inputs["policy"].digest
    rows = [_row(policy, question, answers[question.question_id]) for question in asked]
    tried = [row for row in rows if row["num_attempts"]]
    if not tried:
        raise StageError(f"none of {len(asked)} training questions could be asked without tools")
    metrics = {
        "num_asked": len(tried),
        "num_known": sum(row["known"] for row in tried),
        "known_share": sum(row["known"] for row in tried) / len(tried),
        "right_rate": sum(row["num_right"] for row in tried)
        / sum(row["num_attempts"] for row in tried),
    }
    found = job.write_table("closed_book", rows, metadata={"metrics": metrics})
    if job.config.closed_book.drop:
        dropped = {row["question_id"] for row in rows if row["known"]}
        kept = [question for question in questions if question.question_id not in dropped]
        if not any(question.split == TRAIN_SPLIT for question in kept):
            raise StageError(
                f"the policy knows all {len(dropped)} training questions, so that dropping them "
                "leaves none; take harder ones, or closed_book.drop=false"
            )
        # What is said of the questions, the web's digest in particular, holds of fewer, too.
        said_before = dict(job.store.manifest(job.inputs["questions"]).metadata)
        job.write_table(
            "questions",
            [question_row(question) for question in kept],
            parents=[found],
            metadata={**said_before, "metrics": {"num_train_left": _num_training(kept)}},
        )
    clear_partial(job.store, job.key)
    return {}


def _num_training(questions: list[Question]) -> int:
    return sum(question.split == TRAIN_SPLIT for question in questions)


def _answers(job: Job, asked: list[Question]) -> dict[str, list[str | None]]:
    """The answers to each question; attempts that failed for reasons outside are left out."""
    config: StageConfig = job.config.model_copy(update={"agents": without_tools(job.config.agents)})
    settings, policy = config.closed_book, job.inputs["policy"]
    rollouts = [
        RolloutJob(
            question=question,
            rollout_index=index,
            seed=derive_seed(config.seed, "closed book", question.question_id, index),
            temperature=settings.temperature,
            top_p=1.0,
            iteration=job.context.iteration,
            policy=policy.digest,
            source="closed_book",
        )
        for question in asked
        for index in range(settings.attempts)
    ]
    folder, recorder = job.store.policy_folder(policy), PageRecorder()
    with closing(make_engine(folder, config.engine, config.agents.max_context_tokens)) as engine:
        sampler = Sampler(engine, load_tokenizer(folder), {}, config, recorder)
        made = sampler.run_logged(
            rollouts,
            "Answers without tools",
            ShardLog(job.store, job.key),
            PageLog(job.store, job.key, recorder),
        )
    answers: dict[str, list[str | None]] = {question.question_id: [] for question in asked}
    for trajectory in made:
        if not trajectory.stop_reason.is_infrastructure:
            answers[trajectory.question_id].append(_said(trajectory))
    return answers


def _said(trajectory: Trajectory) -> str | None:
    return said(trajectory.turns[-1].text) if trajectory.turns else None


def _row(policy: str, question: Question, answers: list[str | None]) -> dict[str, Any]:
    right = num_right(answers, question.answers)
    return {
        "policy": policy,
        "question_id": question.question_id,
        "num_attempts": len(answers),
        "num_right": right,
        "known": right > 0,
        "answers": [answer for answer in answers if answer is not None],
    }
