"""Reinforcement learning with TRL's GRPOTrainer on rollouts of the real agent.

The trainer never generates: its rollout function asks the caller to roll questions out with the
current weights, by the same runner as every other rollout, and hands back tokens, masks and
log-probabilities as they were recorded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from datasets import Dataset
from transformers import AutoTokenizer
from trl import GRPOConfig

from agents.errors import StageError
from agents.trajectory import Question, Trajectory
from training.checkpoints import Checkpointer, Checkpoints
from training.config import RlConfig, TrainingConfig
from training.group_rows import GroupRows
from training.grpo import PackedGrpoTrainer
from training.launch.driver import RankedTraining, check_share
from training.launch.world import ALONE, World
from training.logprobs import add_scoring_forward
from training.lora import adapters
from training.memory import release_memory
from training.policy_folder import load_policy, resolve_precision, save_policy
from training.reports import StepReport, TrainingReport
from training.rewards import Reward
from training.rollout_groups import RolloutRequest
from training.step_rows import StepRows
from training.trainer_setup import (
    StepReporter,
    micro_batch,
    report_only,
    shared_arguments,
    trainer_folder,
    training_session,
)
from training.weights import kept_weights

__all__ = ["RolloutRequest", "fit_rl", "train_rl"]


def train_rl(
    model_dir: Path,
    questions: Sequence[Question],
    sample: Callable[[Mapping[str, torch.Tensor], list[RolloutRequest]], list[Trajectory]],
    reward: Callable[[Trajectory], Reward],
    prompt_ids_of: Callable[[Question], list[int]],
    config: RlConfig,
    training: TrainingConfig,
    output_dir: Path,
    seed: int,
    on_step: Callable[[StepReport], None],
    on_rollouts: Callable[[int, list[Trajectory], list[Reward]], Mapping[str, float] | None],
    checkpoints: Checkpoints | None = None,
) -> TrainingReport:
    """Trains a policy on its own rollouts and saves it.

    Args:
        model_dir: The policy to start from, a local Hugging Face folder.
        questions: What to ask; each step takes the next ones of a seeded order.
        sample: Rolls requests out with the given weights (names as in the model's state dict,
            fp32, valid during the call only) and returns one trajectory per request, in any order,
            infrastructure failures included. It waits in `agents.runner.run_rollouts`, or in
            `agents.interruption.run_interruptibly`, which ranks that die end at once.
        reward: Scores a trajectory.
        prompt_ids_of: Token ids of a question's first prompt; stands in for trajectories that
            failed before they had any tokens.
        config: Sizes, sampling and the objective.
        training: Precision, clipping, memory.
        output_dir: Where the trained policy is written.
        seed: Root of the order of questions and of all rollouts' seeds.
        on_step: Called after each optimizer step.
        on_rollouts: Called with the step (from 1), all its trajectories and their rewards, before
            the step is made; what it returns joins the step's metrics.
        checkpoints: Where checkpoints go, and the one to go on from; None: none are taken.

    Raises:
        UsageError: `model_dir` holds no model, or a device is asked for that is not there.
        StageError: There are no questions, or rollouts did not come back.
    """
    started = time.perf_counter()
    check_share(
        config.prompts_per_step * config.num_generations,
        "rl.prompts_per_step x rl.num_generations",
        training,
    )
    with training_session(training):
        end_id = AutoTokenizer.from_pretrained(model_dir).eos_token_id
    rollouts = GroupRows(
        questions, sample, reward, prompt_ids_of, end_id, config, seed, on_rollouts
    )
    if checkpoints is not None and checkpoints.resume_from is not None:
        rollouts.restore(checkpoints.resume_from.progress["rollouts"])

    def progress() -> dict[str, Any]:
        return {"rollouts": rollouts.state()}

    if training.in_ranks:
        ranks = RankedTraining(model_dir, config, training, output_dir, seed, on_step, checkpoints)
        steps = ranks.rl(rollouts.of_step, progress)
    else:
        reporter = StepReporter(on_step)
        checkpointer = Checkpointer(checkpoints, training, reporter, progress)
        with training_session(training), trainer_folder(output_dir) as scratch:
            fit_rl(
                model_dir, _OwnRows(rollouts), config, training, output_dir, scratch, seed,
                reporter, checkpointer,
            )  # fmt: skip
        steps = reporter.steps
    return TrainingReport.of_steps(
        output_dir,
        steps,
        num_examples=rollouts.num_rollouts,
        started=started,
        precision=resolve_precision(training),
    )


def fit_rl(
    model_dir: Path,
    rows: RowSource,
    config: RlConfig,
    training: TrainingConfig,
    output_dir: Path,
    scratch: str,
    seed: int,
    reporter: StepReporter,
    checkpointer: Checkpointer,
    world: World = ALONE,
) -> None:
    """Trains on the rollouts of a source, in this process or as one of several ranks.

    Args:
        model_dir: The policy to start from.
        rows: Where the rollouts of each step come from.
        config: Sizes, sampling and the objective.
        training: Precision, clipping, memory, ranks.
        output_dir: Where the main rank writes the policy.
        scratch: Where the trainer writes on its way, seen by all ranks.
        seed: Seed of the trainer's own random numbers.
        reporter: Takes the steps.
        checkpointer: Takes the checkpoints.
        world: The ranks.
    """
    total = config.prompts_per_step * config.num_generations
    micro = micro_batch(total, training)
    passes = total // world.size // micro
    # Before the model is loaded: where its weights are shared out, they are from the beginning.
    arguments = GRPOConfig(
        **shared_arguments(training, scratch, seed),
        max_steps=config.num_steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=passes,
        steps_per_generation=passes,
        num_generations=config.num_generations,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=config.warmup_steps,
        temperature=config.temperature,
        top_p=config.top_p,
        beta=config.kl_coefficient,
        scale_rewards=config.advantage,
        mask_truncated_completions=False,
        shuffle_dataset=False,
        disable_dropout=True,
    )
    model, tokenizer = load_policy(model_dir)
    add_scoring_forward(model)
    # The rows only set the trainer's pace: which question a place gets is the sampler's
    # business, which may replace it.
    places = [str(place) for place in range(config.num_steps * config.prompts_per_step)]
    trainer = PackedGrpoTrainer(
        model=model,
        reward_funcs=_recorded_reward,
        args=arguments,
        train_dataset=Dataset.from_dict({"prompt": places}),
        processing_class=tokenizer,
        rollout_func=_RolloutFunction(rows, reporter, world),
        peft_config=adapters(training.lora, dropout=False),
        objective=config,
        reporter=reporter,
        world=world,
    )
    report_only(trainer, reporter)
    trainer.add_callback(checkpointer)
    trainer.train(resume_from_checkpoint=checkpointer.resume_from)
    save_policy(trainer.accelerator.unwrap_model(trainer.model), model_dir, output_dir, world)


def _recorded_reward(rollout_reward: list[float | None], **_: Any) -> list[float | None]:
    """Passes on the rewards that the rollout function found; None stays out of the baseline."""
    return rollout_reward


class RowSource(Protocol):
    """Where the rollouts of a step come from."""

    def of_step(self, step: int, model: torch.nn.Module) -> StepRows:
        """The rollouts of a step (from 1) by a model's weights; the same on every rank."""
        ...


class _RolloutFunction:
    """The trainer's rollout function: one call takes this rank's share of a step's rollouts."""

    def __init__(self, rows: RowSource, reporter: StepReporter, world: World) -> None:
        self._rows = rows
        self._reporter = reporter
        self._world = world

    def __call__(self, prompts: list[str], trainer: PackedGrpoTrainer) -> dict[str, list[Any]]:
        """Returns the fields that TRL asks of a rollout function, groups one after the other."""
        started = time.perf_counter()
        model = trainer.accelerator.unwrap_model(trainer.model)
        release_memory()
        rows = self._rows.of_step(trainer.state.global_step + 1, model)
        release_memory()
        if len(prompts) * self._world.size != rows.num_rows:
            raise StageError(
                f"the trainer wants {len(prompts)} rollouts a step in each of {self._world.size} "
                f"ranks, and there are {rows.num_rows}"
            )
        if self._world.is_main:  # figures are added up over the ranks
            self._reporter.extras |= rows.figures
            self._reporter.extras["rollout_s"] = time.perf_counter() - started
        return rows.share(self._world.rank, self._world.size)


class _OwnRows:
    """Rollouts that are made in this very process."""

    def __init__(self, rows: GroupRows) -> None:
        self._rows = rows

    def of_step(self, step: int, model: torch.nn.Module) -> StepRows:
        """Samples with the model's own tensors."""
        return self._rows.of_step(step, kept_weights(model))
