"""Configuration of rewards, filter, SFT and RL; imports no torch, so that the CLI starts fast."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from agents.configuration import Config
from evaluation.judging.config import JudgeConfig
from training.launch.config import SHIPPED, LaunchConfig, LoraConfig
from training.trackers import TrackerName


class RewardConfig(Config):
    """How a finished trajectory is scored."""

    kind: Literal["evolvesearch", "webdancer"] = "evolvesearch"
    """`evolvesearch`: half of (format + answer), 0 for a malformed trajectory; `webdancer`:
    0.1 of format plus 0.9 of answer."""
    answer: Literal["accuracy", "f1", "em", "judge"] = "accuracy"
    """Which score of the answer is the reward's answer part. `judge`: what the model under `judge`
    says, as the papers have it; a rollout that it fails to judge has no reward."""
    judge: JudgeConfig = JudgeConfig()
    """The judge of `answer=judge`, better of another family than the policy."""

    @model_validator(mode="after")
    def _has_a_judge(self) -> Self:
        if self.answer == "judge" and self.judge.kind == "rules":
            raise ValueError(
                "answer=judge needs judge.kind=api and a model; the judge by rules is "
                "answer=accuracy"
            )
        return self

    @property
    def that_matters(self) -> dict[str, Any]:
        """The settings that rewards depend on: a judge's prices and patience are not of them."""
        fields = self.model_dump(mode="json", exclude={"judge"})
        return fields | ({"judge": self.judge.that_matters} if self.answer == "judge" else {})


class FilterConfig(Config):
    """EvolveSearch's rule: correct, and among the top k by number of tool calls."""

    require_correct: bool = True
    """Keep only trajectories whose answer reward reaches `min_answer_reward`."""
    min_answer_reward: float = Field(default=1.0, gt=0.0, le=1.0)
    """Least answer reward that counts as correct; below 1 it only matters with `f1`."""
    require_format: bool = True
    """Keep only trajectories whose every turn matched the protocol."""
    min_tool_calls: int = Field(default=1, ge=0)
    """Fewest executed tool calls; 0 keeps answers given from memory (the paper states none)."""
    max_per_question: int | None = Field(default=None, ge=1)
    """Most trajectories kept of one question; None: no cap (the paper states none)."""
    top_k: int | None = Field(default=2000, ge=1)
    """Most trajectories kept in all, those with most tool calls first; None: no limit."""
    near_duplicate_similarity: float | None = Field(default=None, gt=0.0, le=1.0)
    """Two trajectories of one question whose actions share this fraction of their words (Jaccard)
    are near-duplicates, and the lower ranked is dropped; 1.0 drops equal word sets only, None
    none (the paper states none)."""


_WATCH_ONLY = {
    "checkpoint_s",
    "checkpoint_steps",
    "checkpoints_keep",
    "report_to",
    "report_folder",
    "peak_tflops",
    "memory_check",
}
"""Settings of training that change nothing in its result."""


class TrainingConfig(Config):
    """What SFT and RL have in common."""

    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of forward and backward passes; weights and optimizer are always fp32. `auto`
    takes bf16 where the hardware computes it natively."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes an accelerator if there is one."""
    gradient_clip: float = Field(default=1.0, gt=0.0)
    """Gradients are scaled down to this global norm."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    micro_batch_size: int = Field(default=8, ge=1)
    """Most sequences in one forward pass; larger batches accumulate gradients."""
    num_threads: int | None = Field(default=None, ge=1)
    """Threads of CPU arithmetic; None leaves the library's choice."""
    checkpoint_s: float | None = Field(default=120.0, ge=0.0)
    """Seconds between two checkpoints, which a killed training goes on from; taken less often
    where they would cost more than a twenty-fifth of the time. 0: whenever that allows; None: not
    by the clock."""
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Take a checkpoint after every so many optimizer steps, whatever it costs; None: only by the
    clock."""
    checkpoints_keep: int = Field(default=2, ge=1)
    """Newest checkpoints kept while a training runs: an older one is gone back to where a newer
    one turns out damaged."""

    report_to: tuple[TrackerName, ...] | None = None
    """Trackers that draw the figures of every step, beside the store that keeps them: any of
    `trackio`, `wandb`, `mlflow`, `tensorboard`; None: trackio where its package is installed."""
    report_folder: str | None = None
    """Folder that trackers write to; None: trackio where it keeps all its projects, the others in
    `tracking`, where the command is given."""
    peak_tflops: float | None = Field(default=None, gt=0.0)
    """Most arithmetic of one device, in 10^12 operations a second, that `mfu` is a share of; None:
    that of the accelerator where it is a known one, else there is no `mfu`."""
    memory_check: Literal["error", "warn", "off"] = "warn"
    """What happens where a training is estimated to need more memory than is free: it does not
    start, it starts with a warning, or nothing is compared."""

    launch: LaunchConfig = LaunchConfig()
    """The processes that train."""
    deepspeed: str = "off"
    """DeepSpeed's ZeRO: `off`, `zero1`, `zero2`, `zero3` (optimizer, gradients too, weights too
    are shared out over the ranks), `zero2-offload`, `zero3-offload` (the shares lie in the
    machine's memory), or the path of a DeepSpeed JSON of your own."""
    lora: LoraConfig = LoraConfig()
    """Low-rank adapters."""

    @field_validator("deepspeed")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value != "off" and value not in SHIPPED and not value.endswith(".json"):
            raise ValueError(
                f"{value!r} is not one of off, {', '.join(SHIPPED)}, nor the path of a .json file"
            )
        return value

    @property
    def in_ranks(self) -> bool:
        """Whether training runs in processes of its own, instead of in the caller's."""
        return self.launch.num_processes > 1 or self.deepspeed != "off"

    @property
    def that_matters(self) -> dict[str, Any]:
        """The settings that the trained weights depend on: the others only watch or keep.

        The number of ranks and DeepSpeed's settings are among them: they change the last digits,
        and checkpoints of the one cannot be gone on from with the other.
        """
        fields = self.model_dump(mode="json", exclude=_WATCH_ONLY)
        fields["launch"] = self.launch.num_processes
        own = Path(self.deepspeed)
        if self.deepspeed.endswith(".json") and own.is_file():
            fields["deepspeed"] = hashlib.sha256(own.read_bytes()).hexdigest()
        return fields


class SftConfig(Config):
    """Supervised fine-tuning on kept trajectories."""

    start_from: Literal["base", "previous"] = "previous"
    """Which policy is fine-tuned: the base model, or the policy that made the trajectories. The
    paper does not say."""
    learning_rate: float = Field(default=1e-4, gt=0.0)
    """Peak learning rate of AdamW."""
    num_epochs: int = Field(default=2, ge=1)
    """Passes over the examples."""
    batch_size: int = Field(default=8, ge=1)
    """Sequences per optimizer step."""
    max_tokens: int | None = Field(default=None, ge=8)
    """Examples longer than this many tokens are left out (never cut); None: all are used."""
    warmup_ratio: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of the steps in which the learning rate rises linearly from 0."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How the learning rate goes on after the warm-up."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Decoupled weight decay of AdamW."""


class RlConfig(Config):
    """Reinforcement learning on groups of rollouts, with GRPO's or DAPO's loss."""

    enabled: bool = True
    """Whether an iteration has an RL stage at all."""
    num_steps: int = Field(default=8, ge=1)
    """Optimizer steps; each samples a fresh batch."""
    prompts_per_step: int = Field(default=8, ge=1)
    """Questions (groups) in one batch."""
    num_generations: int = Field(default=8, ge=2)
    """Rollouts per question (the papers: 16)."""
    learning_rate: float = Field(default=1e-5, gt=0.0)
    """Peak learning rate of AdamW (a 7B model: 1e-6)."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps in which the learning rate rises linearly from 0."""
    temperature: float = Field(default=0.7, gt=0.0)
    """Sampling temperature, in rollouts and in the trainer's logprobs (a 7B model: 1.0)."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus mass of the rollouts; below 1 their logprobs are not those of the sampler."""
    loss: Literal["dapo", "grpo"] = "dapo"
    """`dapo`: mean over all sampled tokens of the batch; `grpo`: mean over rollouts of each
    rollout's mean over its tokens, in which a long rollout's tokens weigh less."""
    importance_sampling: Literal["truncated", "ratio", "none"] = "truncated"
    """What corrects for the engine's probabilities differing from the trainer's. `truncated`: each
    token's loss is weighted by the trainer's over the engine's, at most `importance_cap`; `ratio`:
    the engine's are the denominator of the clipped ratio; `none`: nothing."""
    importance_cap: float = Field(default=2.0, gt=0.0)
    """Largest weight of a token with `importance_sampling=truncated`."""
    epsilon_low: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Ratios below 1 minus this are clipped."""
    epsilon_high: float = Field(default=0.28, gt=0.0)
    """Ratios above 1 plus this are clipped (DAPO's higher clip)."""
    kl_coefficient: float = Field(default=0.0, ge=0.0)
    """Weight of the KL penalty to the starting policy; 0 keeps no reference model in memory."""
    advantage: Literal["none", "group", "batch"] = "none"
    """What the advantage (reward minus its group's mean) is divided by: nothing, the group's or
    the batch's standard deviation."""
    prompts: Literal["mixed", "all"] = "mixed"
    """`mixed` leaves groups that are not mixed out of the loss (DAPO's dynamic sampling); `all`
    counts their tokens, which shrinks the step."""
    mixed_by: Literal["reward", "answer"] = "reward"
    """What must differ within a mixed group: `reward`, so that right format is learnt where all
    answers are wrong, or `answer`, as in DAPO: neither all right nor all wrong."""
    max_resamples: int = Field(default=0, ge=0)
    """With `mixed`: how often the places of unmixed groups are filled with fresh questions before
    the step goes ahead with what it has."""
    overlong_buffer_tokens: int = Field(default=0, ge=0)
    """DAPO's soft punishment of length: within so many tokens of the context's limit the reward
    falls linearly, by `overlong_penalty` at the limit; 0: off."""
    overlong_penalty: float = Field(default=1.0, gt=0.0)
    """What a rollout that fills the context loses of its reward, which may become negative."""
    eval_steps: int | None = Field(default=None, ge=1)
    """Answer held-out questions (the gate's, greedily) before the first step, every so many steps
    and at the end; the policy does not depend on it. None: never."""
    eval_questions: int = Field(default=100, ge=1)
    """Held-out questions of each such evaluation."""

    @property
    def that_matters(self) -> dict[str, Any]:
        """The settings that the trained weights depend on: evaluation changes none."""
        return self.model_dump(mode="json", exclude={"eval_steps", "eval_questions"})

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.prompts == "all" and self.max_resamples:
            raise ValueError("max_resamples fills the places of unmixed groups: set prompts=mixed")
        return self
