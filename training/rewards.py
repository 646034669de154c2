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

SAME_REWARD = 1e-6
"""Rewards closer than this are equal."""


@dataclass(frozen=True, slots=True)
class Reward:
    """What a trajectory earned.

    Attributes:
        format: 1.0 if it strictly followed the protocol up to an answer, else 0.0.
        answer: Score of the answer, from 0 to 1.
        total: The reward, from 0 to 1 before RL shapes it; None if the trajectory ended for
            reasons of the infrastructure, which is neither right nor wrong and takes part in no
            baseline.
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


def reward_of(trajectory: Trajectory, question: Question, config: RewardConfig) -> Reward:
    """Scores one trajectory.

    `evolvesearch` (arXiv 2505.22501): R = (format + answer) / 2 if the format is right, else 0,
    and the answer of a malformed trajectory is not judged. `webdancer` (arXiv 2505.22648, stage
    4): R = 0.1 format + 0.9 answer.

    Args:
        trajectory: The finished trajectory.
        question: The question it belongs to.
        config: Which formula and which score of the answer.

    Raises:
        ValueError: The trajectory belongs to another question.
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
    score = score_answer(trajectory.answer, question.answers)
    answer = float(getattr(score, config.answer))
    if config.kind == "evolvesearch":
        return Reward(well_formed, answer, 0.5 * (well_formed + answer))
    return Reward(well_formed, answer, 0.1 * well_formed + 0.9 * answer)


def reward_table(
    trajectories: pa.Table, golds: Mapping[str, Sequence[str]], config: RewardConfig
) -> pa.Table:
    """Scores a table of trajectories as `reward_of` scores each; equal answers are judged once.

    Args:
        trajectories: Columns trajectory_id, question_id, stop_reason, format_ok and answer.
        golds: Right answers by question.
        config: Which formula and which score of the answer.

    Returns:
        Columns trajectory_id, question_id, format, answer, total (null: infrastructure), a row a
        trajectory in the given order.

    Raises:
        StageError: There are no right answers of a question.
    """
    infrastructure = [str(reason) for reason in StopReason if reason.is_infrastructure]
    failed = _array(pc.is_in(trajectories["stop_reason"], pa.array(infrastructure, pa.string())))
    answered = _array(pc.is_valid(trajectories["answer"]))
    well_formed = _array(trajectories["format_ok"]) & answered & ~failed
    judged = answered & ~failed
    if config.kind == "evolvesearch":
        judged &= well_formed
    answer = np.zeros(len(failed))
    answer[judged] = _answer_scores(
        trajectories.select(["question_id", "answer"]).filter(pa.array(judged)), golds, config
    )
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
            "total": pa.array(total, mask=failed),
        }
    )


def _answer_scores(
    answers: pa.Table, golds: Mapping[str, Sequence[str]], config: RewardConfig
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Scores of answers to questions, each pair of both judged once."""
    if not answers.num_rows:
        return np.zeros(0)
    questions, texts = (
        answers[name].combine_chunks().dictionary_encode() for name in ("question_id", "answer")
    )
    codes = questions.indices.to_numpy().astype(np.int64) * len(texts.dictionary)
    codes += texts.indices.to_numpy()
    pairs, places = np.unique(codes, return_inverse=True)
    ids, words = questions.dictionary.to_pylist(), texts.dictionary.to_pylist()
    scores = np.empty(len(pairs))
    for position, pair in enumerate(pairs.tolist()):
        question_id, text = ids[pair // len(words)], words[pair % len(words)]
        if question_id not in golds:
            raise StageError(
                f"question {question_id} is not among the questions; expected those that the "
                "trajectories were made from"
            )
        scores[position] = getattr(score_answer(text, golds[question_id]), config.answer)
    return scores[places]


def _array(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(column.to_numpy(), dtype=np.bool_)
