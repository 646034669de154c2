"""What training reports: one record a step, one at the end; free of torch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimizer step.

    Attributes:
        step: Number of the step, from 1.
        num_steps: Number of steps in all.
        loss: Loss of the step, mean over its loss tokens.
        grad_norm: Global norm of the gradient before clipping.
        learning_rate: Learning rate that the step used.
        tokens: Tokens in the step's sequences, prompts included.
        wall_s: Seconds since the step before it (rollouts included).
        reward_mean: Mean reward of the step's rollouts; None in SFT, or if none earned one.
        num_mixed_groups: Groups with unequal rewards, the only ones that teach; None in SFT.
        metrics: Further figures by name: `token_accuracy`, `entropy`, `tool_calls`, ….
    """

    step: int
    num_steps: int
    loss: float
    grad_norm: float
    learning_rate: float
    tokens: int
    wall_s: float
    reward_mean: float | None = None
    num_mixed_groups: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """A finished training.

    Attributes:
        policy: Folder of the trained policy, a plain Hugging Face model folder in fp32.
        num_steps: Optimizer steps done.
        num_examples: Sequences trained on, repetitions counted.
        tokens: Tokens of these sequences.
        wall_s: Seconds, loading and saving included.
        precision: Arithmetic used, `bf16` or `fp32`.
        steps: The step reports, in order.
    """

    policy: Path
    num_steps: int
    num_examples: int
    tokens: int
    wall_s: float
    precision: str
    steps: tuple[StepReport, ...] = ()

    @classmethod
    def of_steps(
        cls,
        policy: Path,
        steps: Sequence[StepReport],
        *,
        num_examples: int,
        started: float,
        precision: str,
    ) -> Self:
        """Sums up the steps of a training that has just ended.

        Args:
            policy: Folder of the trained policy.
            steps: The step reports, in order.
            num_examples: Sequences trained on.
            started: When it began, by `time.perf_counter`.
            precision: Arithmetic used.
        """
        return cls(
            policy=policy,
            num_steps=len(steps),
            num_examples=num_examples,
            tokens=sum(step.tokens for step in steps),
            wall_s=time.perf_counter() - started,
            precision=precision,
            steps=tuple(steps),
        )

    @property
    def final_loss(self) -> float | None:
        """Loss of the last step, None if there was none."""
        return self.steps[-1].loss if self.steps else None
