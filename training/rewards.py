"""The reward of a trajectory, by the papers' formulas; it shares its scoring with evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from agents.trajectory import Question, Trajectory
from evaluation.scoring import score_answer
from training.config import RewardConfig


@dataclass(frozen=True, slots=True)
class Reward:
    """What a trajectory earned.

    Attributes:
        format: 1.0 if it strictly followed the protocol up to an answer, else 0.0.
        answer: Score of the answer, from 0 to 1.
        total: The reward, from 0 to 1; None if the trajectory ended for reasons of the
            infrastructure, which is neither right nor wrong and takes part in no baseline.
    """

    format: float
    answer: float
    total: float | None


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
