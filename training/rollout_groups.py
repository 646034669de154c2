"""Which questions an RL step samples, and the groups of rollouts that come back; free of torch.

A group is all rollouts of one question in one step. Its rewards are compared with each other, so
only a mixed group (rewards not all equal) teaches anything. DAPO replaces the others by fresh
questions before the step; `max_resamples` says how often. Why a group is not mixed is its outcome.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from agents.errors import EvolveSearchError, StageError
from agents.randomness import derive_seed
from agents.trajectory import Question, Trajectory
from training.config import RlConfig
from training.rewards import SAME_REWARD, Reward


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """One rollout that RL asks for.

    Attributes:
        question: The question to ask.
        rollout_index: Which rollout of the question this is; counts on if it is asked again.
        step: The optimizer step it is for, from 1.
        seed: Seed of its random numbers.
    """

    question: Question
    rollout_index: int
    step: int
    seed: int


class GroupOutcome(StrEnum):
    """What a group is to the step: mixed, or why not."""

    MIXED = "mixed"
    """Its rollouts differ: it teaches."""
    ALL_RIGHT = "all_right"
    """Every answer is right."""
    ALL_WRONG = "all_wrong"
    """Every answer is worth nothing."""
    ALL_EQUAL = "all_equal"
    """All are worth the same, neither nothing nor everything (F1)."""
    ALL_NONE = "all_none"
    """No rollout has a reward: all failed for reasons outside the policy."""


@dataclass(frozen=True, slots=True)
class Group:
    """The rollouts of one question in one step, with their rewards.

    Attributes:
        question: What was asked.
        trajectories: The rollouts.
        rewards: Their rewards, in the same order.
        mixed_by: What must differ for the group to be mixed, `reward` or `answer`.
    """

    question: Question
    trajectories: tuple[Trajectory, ...]
    rewards: tuple[Reward, ...]
    mixed_by: Literal["reward", "answer"] = "reward"

    @property
    def outcome(self) -> GroupOutcome:
        """Whether the group is mixed, or why not; rollouts without a reward do not count."""
        scored = [reward for reward in self.rewards if reward.total is not None]
        if not scored:
            return GroupOutcome.ALL_NONE
        answers = [reward.answer for reward in scored]
        totals = [reward.total or 0.0 for reward in scored]
        if _differ(answers if self.mixed_by == "answer" else totals):
            return GroupOutcome.MIXED
        if all(reward.is_right for reward in scored):
            return GroupOutcome.ALL_RIGHT
        if max(answers) < SAME_REWARD:
            return GroupOutcome.ALL_WRONG
        return GroupOutcome.ALL_EQUAL

    @property
    def is_mixed(self) -> bool:
        """Whether the group teaches anything."""
        return self.outcome is GroupOutcome.MIXED


def _differ(values: Sequence[float]) -> bool:
    return max(values) - min(values) > SAME_REWARD


def question_order(questions: Sequence[Question], seed: int) -> Iterator[Question]:
    """Goes through the questions without end, in a new order each time round."""
    epoch = 0
    while True:
        order = list(questions)
        random.Random(derive_seed(seed, "order", epoch)).shuffle(order)
        yield from order
        epoch += 1


class GroupSampler:
    """Samples the groups of each step.

    Args:
        questions: What may be asked.
        sample: Rolls requests out, in any order of results.
        reward: Scores a finished trajectory.
        config: Sizes and the rule for unmixed groups.
        seed: Root of the order of questions and of the rollouts' seeds.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        sample: Callable[[list[RolloutRequest]], list[Trajectory]],
        reward: Callable[[Trajectory], Reward],
        config: RlConfig,
        seed: int,
    ) -> None:
        if not questions:
            raise StageError("RL has no questions to ask")
        self._order = question_order(questions, seed)
        self._sample = sample
        self._reward = reward
        self._config = config
        self._seed = seed
        self._num_asked = 0
        self._asked: dict[str, int] = {}

    def state(self) -> dict[str, Any]:
        """What has been asked so far, JSON values."""
        return {"num_asked": self._num_asked, "asked": dict(self._asked)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on after what `state` says has been asked; only before anything is."""
        self._num_asked = state["num_asked"]
        self._asked = dict(state["asked"])
        for _ in range(self._num_asked):
            next(self._order)

    def groups(self, step: int) -> tuple[list[Group], list[Group]]:
        """Samples one step.

        Returns:
            The step's groups, one per prompt, and every group that was sampled, those that were
            replaced included.

        Raises:
            StageError: A rollout that was asked for did not come back, or its reward could not be
                computed.
        """
        chosen = self._roll_out(step, self._config.prompts_per_step)
        sampled = list(chosen)
        for _ in range(self._config.max_resamples):
            places = [at for at, group in enumerate(chosen) if not group.is_mixed]
            if not places:
                break
            fresh = self._roll_out(step, len(places))
            sampled += fresh
            for at, group in zip(places, fresh, strict=True):
                if group.is_mixed:
                    chosen[at] = group
        return chosen, sampled

    def _roll_out(self, step: int, num_questions: int) -> list[Group]:
        requests: list[list[RolloutRequest]] = []
        for _ in range(num_questions):
            question = next(self._order)
            self._num_asked += 1
            first = self._asked.get(question.question_id, 0)
            self._asked[question.question_id] = first + self._config.num_generations
            requests.append(
                [
                    RolloutRequest(
                        question,
                        index,
                        step,
                        derive_seed(self._seed, step, question.question_id, index),
                    )
                    for index in range(first, first + self._config.num_generations)
                ]
            )
        flat = [request for group in requests for request in group]
        results = {(t.question_id, t.rollout_index): t for t in self._sample(flat)}
        missing = [
            request
            for request in flat
            if (request.question.question_id, request.rollout_index) not in results
        ]
        if missing:
            raise StageError(
                f"{len(missing)} of {len(flat)} rollouts of RL step {step} did not come back, the "
                f"first of question {missing[0].question.question_id}"
            )
        groups = []
        for group in requests:
            question = group[0].question
            trajectories = tuple(
                results[question.question_id, request.rollout_index] for request in group
            )
            rewards = tuple(self._score(trajectory) for trajectory in trajectories)
            groups.append(Group(question, trajectories, rewards, self._config.mixed_by))
        return groups

    def _score(self, trajectory: Trajectory) -> Reward:
        # A reward may be anybody's function: whatever it raises ends the stage with one line.
        try:
            reward = self._reward(trajectory)
        except EvolveSearchError:
            raise
        except Exception as error:
            raise StageError(
                f"the reward of trajectory {trajectory.trajectory_id} could not be computed: "
                f"{type(error).__name__}: {error}"
            ) from error
        if reward.total is not None and not math.isfinite(reward.total):
            raise StageError(
                f"the reward of trajectory {trajectory.trajectory_id} is {reward.total}; expected "
                "a finite number, or None for a rollout that failed outside the policy"
            )
        return reward
