"""Configuration of the cold start; free of torch."""

from __future__ import annotations

from pydantic import Field

from agents.configuration import Config


class ColdStartConfig(Config):
    """Trajectories built from known chains, from which the base model learns the protocol."""

    enabled: bool = True
    """Whether the first policy is trained on built trajectories; without, the loop starts from
    the base model (which, at this size, never follows the protocol by itself)."""

    num_questions: int = Field(default=160, ge=1)
    """Questions for which a trajectory is built."""

    visit_rate: float = Field(default=0.05, ge=0.0, le=1.0)
    """Share of hops after whose search the page is visited although the results show the value;
    where they do not show it, the page is always visited."""
