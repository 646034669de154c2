"""Sentinels: they watch the figures of a training's steps and stop it where it collapses.

RL on search agents can collapse without an error: the policy repeats itself, forgets the protocol
or searches no more, and every later step makes it worse. Each sentinel looks at one figure as the
mean over the last `sentinels.window` steps that have it, so that one noisy step does not trip it.
Four kinds:

- a *floor* trips where the mean falls below it after it was at or above it in an earlier window
  (a policy that starts below has not collapsed: it has not learnt yet);
- a *ceiling* trips where the mean rises above it;
- a *rise* trips where the mean exceeds that of the training's first window by more than so much;
- a *growth* trips where the mean exceeds that of the first window by more than this factor.

What a sentinel says depends on the reports of the steps alone, so that a resumed training, given
the reports of its checkpoint, goes on watching as if it had not been interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from agents.configuration import Config
from training.reports import StepReport


class SentinelConfig(Config):
    """What stops a training that collapses; figures are means over `window` steps.

    No part of a stage's key: after a stop the same command goes on with another threshold.
    """

    enabled: bool = True
    """Whether any sentinel watches."""
    window: int = Field(default=4, ge=1)
    """Steps in the moving mean, and in the first window that rises and growths start from."""
    non_finite: bool = True
    """Stop at once where the loss or the gradient's norm is infinite or not a number."""
    entropy_floor: float | None = Field(default=0.001, ge=0.0)
    """RL: least entropy of sampled tokens, nats a token, once it has been reached; None: off."""
    entropy_rise: float | None = Field(default=1.0, ge=0.0)
    """RL: most that entropy may rise above the first window's, nats a token; None: off."""
    format_floor: float | None = Field(default=0.2, ge=0.0, le=1.0)
    """RL: least share of rollouts of right format, once it has been reached; None: off."""
    searches_floor: float | None = Field(default=0.1, ge=0.0)
    """RL: fewest searches a rollout, once they have been reached; None: off."""
    repetition_ceiling: float | None = Field(default=0.8, ge=0.0, le=1.0)
    """RL: largest share of what is sampled that was said before (`repetition`); None: off."""
    length_growth: float | None = Field(default=4.0, gt=0.0)
    """RL: most sampled tokens a rollout, as a multiple of the first window's; None: off."""
    infrastructure_ceiling: float | None = Field(default=0.1, ge=0.0, le=1.0)
    """RL: largest share of rollouts that failed for reasons outside the policy; None: off."""


@dataclass(frozen=True, slots=True)
class Trip:
    """A sentinel that tripped.

    Attributes:
        sentinel: Name of its setting in `sentinels`.
        figure: The figure that it watches, as step reports call it.
        value: The figure's mean over the window.
        bound: What the mean was compared with: the threshold, or what follows from it and the
            first window.
        threshold: The setting; None where it is a switch.
        first_step: First step of the window.
        step: Last step of the window: the one that tripped it.
    """

    sentinel: str
    figure: str
    value: float
    bound: float
    threshold: float | None
    first_step: int
    step: int

    @property
    def last_good_step(self) -> int:
        """The last step before the window began to go bad."""
        return self.first_step - 1

    def __str__(self) -> str:
        where = f"step {self.step}"
        if self.first_step != self.step:
            where = f"steps {self.first_step} to {self.step}"
        if self.threshold is None:
            return f"sentinel {self.sentinel}: {self.figure} is {self.value} at {where}"
        side = "below" if self.value < self.bound else "above"
        setting = f"sentinels.{self.sentinel}={self.threshold:g}"
        return (
            f"sentinel {self.sentinel}: {self.figure} is {self.value:.4g} over {where}, {side} "
            f"{self.bound:.4g} ({setting})"
        )


@dataclass(frozen=True, slots=True)
class _Sentinel:
    name: str
    figure: str
    kind: Literal["floor", "ceiling", "rise", "growth"]
    threshold: float | None


def _sentinels(config: SentinelConfig) -> tuple[_Sentinel, ...]:
    return (
        _Sentinel("entropy_floor", "entropy", "floor", config.entropy_floor),
        _Sentinel("entropy_rise", "entropy", "rise", config.entropy_rise),
        _Sentinel("format_floor", "format_rate", "floor", config.format_floor),
        _Sentinel("searches_floor", "searches", "floor", config.searches_floor),
        _Sentinel("repetition_ceiling", "repetition", "ceiling", config.repetition_ceiling),
        _Sentinel("length_growth", "sampled_tokens", "growth", config.length_growth),
        _Sentinel(
            "infrastructure_ceiling",
            "infrastructure_rate",
            "ceiling",
            config.infrastructure_ceiling,
        ),
    )


class Sentinels:
    """Watches the steps of one training.

    Args:
        config: Thresholds.
        before: Reports of the steps done before, where the training goes on from a checkpoint.
    """

    def __init__(self, config: SentinelConfig, before: Sequence[StepReport] = ()) -> None:
        self._config = config
        self._watching = [
            _Window(sentinel, sentinel.threshold, config.window)
            for sentinel in _sentinels(config)
            if sentinel.threshold is not None
        ]
        for report in before:
            # What tripped there was looked at: the training goes on from behind it.
            self.look(report)

    def look(self, report: StepReport) -> Trip | None:
        """Takes the next step; returns the sentinel that trips at it, the first in order."""
        trips = [window.add(report) for window in self._watching]
        if not self._config.enabled:
            return None
        found = [self._non_finite(report), *trips] if self._config.non_finite else trips
        return next((trip for trip in found if trip is not None), None)

    @staticmethod
    def _non_finite(report: StepReport) -> Trip | None:
        for figure, value in (("loss", report.loss), ("grad_norm", report.grad_norm)):
            if not math.isfinite(value):
                step = report.step
                return Trip("non_finite", figure, value, math.inf, None, step, step)
        return None


class _Window:
    """The moving mean that one sentinel looks at.

    Steps that do not have the figure are left out: a window spans as many steps that have it.
    """

    def __init__(self, sentinel: _Sentinel, threshold: float, size: int) -> None:
        self._sentinel = sentinel
        self._threshold = threshold
        self._size = size
        self._last: list[tuple[int, float]] = []
        self._first_mean: float | None = None
        self._reached = False

    def add(self, report: StepReport) -> Trip | None:
        value = report.metrics.get(self._sentinel.figure)
        if value is None or not math.isfinite(value):
            return None
        self._last = [*self._last, (report.step, value)][-self._size :]
        if len(self._last) < self._size:
            return None
        mean = math.fsum(value for _, value in self._last) / self._size
        trips, bound = self._trips(mean)
        if not trips:
            return None
        sentinel, first = self._sentinel, self._last[0][0]
        return Trip(
            sentinel.name, sentinel.figure, mean, bound, self._threshold, first, report.step
        )

    def _trips(self, mean: float) -> tuple[bool, float]:
        """Whether a window's mean trips, and what it was compared with."""
        bound = self._threshold
        match self._sentinel.kind:
            case "floor":
                reached, self._reached = self._reached, self._reached or mean >= bound
                return reached and mean < bound, bound
            case "ceiling":
                return mean > bound, bound
        if self._first_mean is None:
            self._first_mean = mean
            return False, bound
        rises = self._sentinel.kind == "rise"
        bound = self._first_mean + bound if rises else self._first_mean * bound
        return mean > bound, bound
