"""How training is spread over processes, and LoRA; imports no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from agents.configuration import Config

SHIPPED = ("zero1", "zero2", "zero3", "zero2-offload", "zero3-offload")
"""Settings of DeepSpeed that come with the package (`training/launch/configs`)."""


class LaunchConfig(Config):
    """The processes (ranks) of SFT and RL; one alone trains in the stage's own process."""

    num_processes: int = Field(default=1, ge=1)
    """Ranks on all machines together, one for each accelerator; on a CPU two or more share it.
    Batches stay as large as the config says: each rank takes its share."""
    num_machines: int = Field(default=1, ge=1)
    """Machines; on each but the first `python -m training.launch.join` takes part."""
    machine_rank: int = Field(default=0, ge=0)
    """Which machine this is; 0 is the one that the command runs on."""
    address: str | None = None
    """Address of machine 0, as the others reach it; None with one machine."""
    port: int = Field(default=0, ge=0, lt=65536)
    """Port of machine 0 where the ranks find each other; 0 takes a free one (one machine only)."""
    folder: str | None = None
    """Folder for what driver and ranks hand each other, seen by every machine; None: the stage's
    own scratch folder (one machine only)."""
    heartbeat_s: float = Field(default=30.0, gt=0.0)
    """Longest silence of a rank, which gives a sign of life each second, before it counts as hung
    and all are ended."""
    start_s: float = Field(default=600.0, gt=0.0)
    """Longest time until training begins: imports, loading, finding each other."""
    timeout_s: float = Field(default=600.0, gt=0.0)
    """Longest time from one step to the next (rollouts left out), for a policy's weights to come,
    or for a checkpoint, before the ranks count as hung and are ended."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_processes % self.num_machines:
            raise ValueError(
                f"{self.num_processes} processes cannot be shared evenly by {self.num_machines} "
                "machines: num_processes counts those of all machines"
            )
        if self.machine_rank >= self.num_machines:
            raise ValueError(
                f"machine_rank is {self.machine_rank}, but {self.num_machines} machines have "
                f"ranks 0 to {self.num_machines - 1}"
            )
        if self.num_machines > 1 and not (self.address and self.port and self.folder):
            raise ValueError(
                "several machines need address and port of machine 0, and a folder that all see"
            )
        return self

    @property
    def num_local(self) -> int:
        """Ranks on each machine."""
        return self.num_processes // self.num_machines


class LoraConfig(Config):
    """Low-rank adapters: few weights are trained, and the saved policy has them merged in."""

    enabled: bool = False
    """Train adapters instead of all weights."""
    rank: int = Field(default=16, ge=1)
    """Width of the adapters."""
    alpha: float = Field(default=32.0, gt=0.0)
    """Scale of what they add, divided by the rank."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of their inputs that is dropped in SFT."""
    targets: Literal["all-linear", "attention"] = "all-linear"
    """Which matrices get adapters: all but the output head, or those of attention alone."""
