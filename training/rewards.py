"""The reward of a trajectory, by the papers' formulas; it shares its scoring with evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agents.errors import StageError
from agents.trajectory import Question, StopReason, Trajectory
from evaluation.scoring import score_answer
from training.config import RewardConfig
from training.judged_answers import JudgedAnswers

SAME_REWARD = 1e-6
"""Rewards closer than this are equal."""


@dataclass(frozen=True, slots=True)
class Reward:
    """What a trajectory earned.

    Attributes:
        format: 1.0 if it strictly followed the protocol up to an answer, else 0.0.
        answer: Score of the answer, from 0 to 1.
        total: The reward, from 0 to 1 before RL shapes it; None if the trajectory ended for
            reasons of the infrastructure, or the judge failed on its answer: that is neither
            right nor wrong and takes part in no baseline.
        overlong: What RL took from the total for the rollout's length, 0 or less.
    """

    format: float
    answer: float
    total: float | None
    overlong: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether the answer earned all that an answer can."""
        return self.answer > 1.0 - SAME_REWARD


def reward_of(
    trajectory: Trajectory,
    question: Question,
    config: RewardConfig,
    judged: JudgedAnswers | None = None,
) -> Reward:
    """Scores one trajectory.

    `evolvesearch` (arXiv 2505.22501): R = (format + answer) / 2 if the format is right, else 0,
    and the answer of a malformed trajectory is not judged. `webdancer` (arXiv 2505.22648, stage
    4): R = 0.1 format + 0.9 answer.

    Args:
        trajectory: The finished trajectory.
        question: The question it belongs to.
        config: Which formula and which score of the answer.
        judged: Scores the answer with `answer=judge`.

    Raises:
        ValueError: The trajectory belongs to another question, or there is no judge to ask.
        BudgetError: The judge's budget is spent.
    """
    if trajectory.question_id != question.question_id:
        raise ValueError(
            f"trajectory of question {trajectory.question_id} scored with {question.question_id}"
        )
    if trajectory.stop_reason.is_infrastructure:
        return Reward(format=0.0, answer=0.0, total=None)
    well_formed = 1.0 if trajectory.format_ok and trajectory.answer is not None else 0.0
    if config.kind == "evolvesearch" and not well_formed:
        return Reward(format=0.0, answer=0.0, total=0.0)
    answer = _answer_score(trajectory.answer, question, config, judged)
    if answer is None:
        return Reward(well_formed, answer=0.0, total=None)
    if config.kind == "evolvesearch":
        return Reward(well_formed, answer, 0.5 * (well_formed + answer))
    return Reward(well_formed, answer, 0.1 * well_formed + 0.9 * answer)


def show_answers(
    trajectories: Sequence[Trajectory],
    questions: Mapping[str, Question],
    config: RewardConfig,
    judged: JudgedAnswers,
) -> None:
    """Has the answers judged at once that `reward_of` is going to ask about one by one.

    Raises:
        BudgetError: The judge's budget is spent.
    """
    judged.show(
        (questions[each.question_id], each.answer)
        for each in trajectories
        if each.answer is not None
        and not each.stop_reason.is_infrastructure
        and (each.format_ok or config.kind == "webdancer")
    )


def reward_table(
    trajectories: pa.Table,
    questions: Mapping[str, Question],
    config: RewardConfig,
    judged: JudgedAnswers | None = None,
) -> pa.Table:
    """Scores a table of trajectories as `reward_of` scores each; equal answers are judged once.

    Args:
        trajectories: Columns trajectory_id, question_id, stop_reason, format_ok and answer.
        questions: The questions by id.
        config: Which formula and which score of the answer.
        judged: Scores the answers with `answer=judge`.

    Returns:
        Columns trajectory_id, question_id, format, answer, total (null: infrastructure, or
        unjudged), a row a trajectory in the given order.

    Raises:
        StageError: There is no such question.
        BudgetError: The judge's budget is spent.
    """
    infrastructure = [str(reason) for reason in StopReason if reason.is_infrastructure]
    failed = _array(pc.is_in(trajectories["stop_reason"], pa.array(infrastructure, pa.string())))
    answered = _array(pc.is_valid(trajectories["answer"]))
    well_formed = _array(trajectories["format_ok"]) & answered & ~failed
    scored = answered & ~failed
    if config.kind == "evolvesearch":
        scored &= well_formed
    answer = np.zeros(len(failed))
    answer[scored] = _answer_scores(
        trajectories.select(["question_id", "answer"]).filter(pa.array(scored)),
        questions,
        config,
        judged,
    )
    unjudged = np.isnan(answer)
    answer[unjudged] = 0.0
    form = well_formed.astype(np.float64)
    if config.kind == "evolvesearch":
        total = np.where(well_formed, 0.5 * (form + answer), 0.0)
    else:
        total = 0.1 * form + 0.9 * answer
    return pa.table(
        {
            "trajectory_id": trajectories["trajectory_id"],
            "question_id": trajectories["question_id"],
            "format": form,
            "answer": answer,
            "total": pa.array(total, mask=failed | unjudged),
        }
    )


def _answer_scores(
    answers: pa.Table,
    questions: Mapping[str, Question],
    config: RewardConfig,
    judged: JudgedAnswers | None,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Scores of answers to questions, each pair of both scored once; NaN where unjudged."""
    if not answers.num_rows:
        return np.zeros(0)
    asked, texts = (
        answers[name].combine_chunks().dictionary_encode() for name in ("question_id", "answer")
    )
    codes = asked.indices.to_numpy().astype(np.int64) * len(texts.dictionary)
    codes += texts.indices.to_numpy()
    pairs, places = np.unique(codes, return_inverse=True)
    ids, words = asked.dictionary.to_pylist(), texts.dictionary.to_pylist()
    for question_id in ids:
        if question_id not in questions:
            raise StageError(
                f"question {question_id} is not among the questions; expected those that the "
                "trajectories were made from"
            )
    given = [(questions[ids[pair // len(words)]], words[pair % len(words)]) for pair in pairs]
    if config.answer == "judge" and judged is not None:
        judged.show(given)
    found = [_answer_score(text, question, config, judged) for question, text in given]
    scores = np.array([np.nan if score is None else score for score in found])
    return scores[places]


def _answer_score(
    answer: str | None, question: Question, config: RewardConfig, judged: JudgedAnswers | None
) -> float | None:
    """The answer part of a reward; None where the judge failed."""
    if config.answer != "judge":
        return float(getattr(score_answer(answer, question.answers), config.answer))
    if judged is None:
        raise ValueError("a reward with answer=judge needs a judge, got none")
    return 0.0 if answer is None else judged.score(question, answer)


def _array(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(column.to_numpy(), dtype=np.bool_)
