"""The whole configuration of a run: what its stages read, and what the loop itself reads.

Each section's class stands beside the code that reads it. Importing this module loads neither
torch nor Prefect: the command line reads it at start.
"""

from __future__ import annotations

import hashlib
import json
import re

from pydantic import Field

from flows.execution import ExecutionConfig
from tasks.config import StageConfig


class EvolutionConfig(StageConfig):
    """Everything that a run of the self-evolution loop can be told."""

    profile: str = "laptop"
    """Name of the profile it came from; names the run, changes nothing else."""
    iterations: int = Field(default=2, ge=0)
    """Number of iterations after the cold start; each works on its own part of the training
    questions. 0 ends after the cold start."""
    stop_after_failures: int | None = Field(default=None, ge=1)
    """End the run after this many iterations in a row that were not promoted; None: never."""
    execution: ExecutionConfig = ExecutionConfig()
    """Where stages run."""

    @property
    def default_run_name(self) -> str:
        """Name of the run that this configuration makes: the same again resumes the same run."""
        # Neither where it is kept or computed nor what stops it makes it another run.
        others = {"profile", "store", "sentinels", "execution"}
        sections = self.model_dump(mode="json", exclude=others)
        digest = hashlib.sha256(json.dumps(sections, sort_keys=True).encode()).hexdigest()
        return f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.profile)[:60]}-{digest[:8]}"
