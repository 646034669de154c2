"""The one rehearsal of the whole loop that tests of flows share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flows.config import EvolutionConfig
from tasks.artifacts import ArtifactStore
from tasks.references import reference_of
from tasks.runs import RunLog

SIZES = {"benchmark.num_questions": 1, "gate.num_questions": 4, "rl.num_steps": 3}
"""The smoke profile, with as few held-out questions as the seven benchmarks allow, and with an RL
step between two checkpoints."""


@dataclass(frozen=True)
class Rehearsal:
    """A finished run of the smoke profile."""

    config: EvolutionConfig
    name: str
    document: dict[str, Any]

    @property
    def store(self) -> ArtifactStore:
        """Its store."""
        return ArtifactStore.open(self.config.store.uri)

    def rollout_inputs(self, num_rollouts: int) -> tuple[EvolutionConfig, list[str]]:
        """What its first rollout stage reads, as a stage of its own.

        Args:
            num_rollouts: Rollouts of each question; another number is another stage.

        Returns:
            The configuration, and references to questions, policy and cold start.
        """
        records = {
            (record.stage, record.subject): record
            for record in RunLog(self.store.objects).stages(self.name)
            if record.iteration == 0
        }
        made = [records[stage, ""].artifacts[0] for stage in ("construct", "sft", "cold_start")]
        sizes = self.config.rollout.model_copy(update={"num_rollouts": num_rollouts})
        config = self.config.model_copy(update={"rollout": sizes})
        return config, [reference_of(ref) for ref in made]
