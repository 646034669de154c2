"""How a run's stages are executed: in the run's own process, or by workers of work pools.

Importing this module loads neither torch nor Prefect.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agents.configuration import Config


class ExecutionConfig(Config):
    """Where stages run; nothing of what comes out depends on it."""

    mode: Literal["inline", "dispatch"] = "inline"
    """`inline`: every stage runs in the process of the run. `dispatch`: each is sent to the work
    pool of its deployment and runs where a worker takes it."""
    deployment: str = Field(default="stage", pattern=r"^[^/]+$")
    """Name of the deployments that stages are sent to: `rollout/stage`, `sft/stage`, …."""
    poll_s: float = Field(default=0.5, gt=0.0, le=60.0)
    """Seconds between two looks at a stage that a worker runs."""
    attempts: int = Field(default=2, ge=1, le=10)
    """How often a stage is sent out whose flow run crashed, the first time included; one that
    failed by itself would only fail again."""
    wait_s: float | None = Field(default=None, gt=0.0)
    """Seconds that a stage may wait for a worker before the run stops; None: for ever. After 30 s
    the run warns in any case."""
    rollout_workers: int = Field(default=1, ge=1, le=1000)
    """Flow runs that the sampling of one rollout stage is shared out to; 1: it is not."""
    rollout_gpus: int = Field(default=0, ge=0)
    """GPUs that a stage which samples asks its work pool for, as the job variable `gpus`; 0: the
    pool's own default."""
    train_gpus: int = Field(default=0, ge=0)
    """The same of SFT and RL."""
