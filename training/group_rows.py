"""The rows of an RL step: rollouts of its groups, with what the trainer asks of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from agents.trajectory import Question, Trajectory
from training.config import RlConfig
from training.rewards import Reward
from training.rollout_figures import rollout_figures
from training.rollout_groups import GroupSampler, RolloutRequest
from training.step_rows import StepRows


class GroupRows:
    """Samples the groups of each step, and makes a row of each rollout.

    Args:
        questions: What may be asked.
        sample: As `train_rl` says.
        reward: Scores a trajectory.
        prompt_ids_of: Token ids of a question's first prompt.
        end_id: Id of the token that ends a turn.
        config: Sizes and the rule for unmixed groups.
        seed: Root of the order of questions and of the rollouts' seeds.
        on_rollouts: Takes a step's trajectories and rewards; may return further figures.

    Attributes:
        num_rollouts: How many rollouts were made so far.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        sample: Callable[[Mapping[str, torch.Tensor], list[RolloutRequest]], list[Trajectory]],
        reward: Callable[[Trajectory], Reward],
        prompt_ids_of: Callable[[Question], list[int]],
        end_id: int,
        config: RlConfig,
        seed: int,
        on_rollouts: Callable[[int, list[Trajectory], list[Reward]], Mapping[str, float] | None],
    ) -> None:
        self.num_rollouts = 0
        self._weights: Mapping[str, torch.Tensor] = {}
        self._sampler = GroupSampler(
            questions, lambda requests: sample(self._weights, requests), reward, config, seed
        )
        self._prompt_ids_of = prompt_ids_of
        self._end_id = end_id
        self._config = config
        self._on_rollouts = on_rollouts

    def state(self) -> dict[str, Any]:
        """What has been asked so far, JSON values."""
        return {"num_rollouts": self.num_rollouts, "sampler": self._sampler.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on after what `state` says has been asked."""
        self.num_rollouts = state["num_rollouts"]
        self._sampler.restore(state["sampler"])

    def of_step(self, step: int, weights: Mapping[str, torch.Tensor]) -> StepRows:
        """Samples the rollouts of a step (from 1) with the weights given."""
        self._weights = weights
        groups, sampled = self._sampler.groups(step)
        self._weights = {}
        self.num_rollouts += sum(len(group.trajectories) for group in sampled)
        more = self._on_rollouts(
            step,
            [trajectory for group in sampled for trajectory in group.trajectories],
            [reward for group in sampled for reward in group.rewards],
        )
        figures = {**rollout_figures(sampled), **(more or {})}
        figures["num_mixed_groups"] = sum(group.is_mixed for group in groups)
        fields: dict[str, list[Any]] = {
            name: []
            for name in ("prompt_ids", "completion_ids", "logprobs", "env_mask", "rollout_reward")
        }
        for group in groups:
            counts = group.is_mixed or self._config.prompts == "all"
            for trajectory, reward in zip(group.trajectories, group.rewards, strict=True):
                start = trajectory.num_prompt_tokens
                prompt = list(trajectory.token_ids[:start])
                completion = list(trajectory.token_ids[start:])
                logprobs = list(trajectory.logprobs[start:])
                mask = list(trajectory.loss_mask[start:])
                if not prompt or not completion:
                    # Never computed but by a reference model, for which one token does: the
                    # question may be longer than any context.
                    prompt = self._prompt_ids_of(group.question)[:1]
                    completion, logprobs, mask = [self._end_id], [0.0], [0]
                if not counts or reward.total is None:
                    mask = [0] * len(mask)
                fields["prompt_ids"].append(prompt)
                fields["completion_ids"].append(completion)
                fields["logprobs"].append(logprobs)
                fields["env_mask"].append(mask)
                fields["rollout_reward"].append(reward.total)
        return StepRows(fields, figures)
