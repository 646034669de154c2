"""How many rollouts of a stage may fail for reasons outside the policy before it stops.

Such rollouts earn no reward and count for no score. Where many of them fail, what is left is a
selection (of the questions whose pages happened to load), and training on it teaches the wrong
thing without anybody noticing.
"""

from __future__ import annotations

from agents.config import AgentConfig
from agents.errors import StageError
from agents.trajectory import Trajectory

ALWAYS_BORNE = 4
"""Failures that never stop a stage, however few rollouts it makes."""


class FailureBudget:
    """Counts the infrastructure failures of one stage.

    Args:
        config: `max_failed_share` is the share that is borne.
    """

    def __init__(self, config: AgentConfig) -> None:
        self._share = config.max_failed_share
        self._num_planned = 0
        self._num_failed = 0

    def plan(self, num_rollouts: int) -> None:
        """Adds to the rollouts that the stage will make."""
        self._num_planned += num_rollouts

    def note(self, trajectory: Trajectory) -> None:
        """Counts a finished rollout.

        Raises:
            StageError: Too many have failed, whatever becomes of the others.
        """
        if not trajectory.stop_reason.is_infrastructure:
            return
        self._num_failed += 1
        if self._num_failed > max(ALWAYS_BORNE, self._share * self._num_planned):
            raise StageError(
                f"stopped: {self._num_failed} of {self._num_planned} rollouts failed for reasons "
                f"outside the policy, more than {self._share:.0%} (agents.max_failed_share); the "
                f"last ended with {trajectory.stop_reason}: {trajectory.error}"
            )
