"""Supervised fine-tuning on recorded trajectories, with TRL's SFTTrainer.

The trainer gets token ids and masks as they were recorded; nothing is decoded or tokenised again.
The loss is the mean over the sampled tokens of a batch (observations and prompts have none).
Differs from the textbook in cost only: batches are packed around their common prefix, and logits
are computed where there is loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset
from trl import SFTConfig as TrlSftConfig

from agents.errors import StageError
from training.checkpoints import Checkpointer, Checkpoints
from training.config import SftConfig, TrainingConfig
from training.launch.driver import RankedTraining, check_share
from training.launch.world import ALONE, World
from training.logprobs import add_scoring_forward
from training.lora import adapters
from training.policy_folder import load_policy, resolve_precision, save_policy
from training.reports import StepReport, TrainingReport
from training.sft_trainer import PackedSftTrainer, collate
from training.trainer_setup import (
    StepReporter,
    micro_batch,
    report_only,
    shared_arguments,
    trainer_folder,
    training_session,
)

_SCHEDULES = {
    "constant": "constant_with_warmup",
    "linear": "linear",
    "cosine": "cosine",
}


@dataclass(frozen=True, slots=True)
class Example:
    """One trajectory to learn from.

    Attributes:
        token_ids: (L,) ids of the whole conversation.
        loss_mask: (L,) 1 at tokens to learn, 0 elsewhere.
    """

    token_ids: Sequence[int]
    loss_mask: Sequence[int]


def train_sft(
    model_dir: Path,
    examples: Sequence[Example],
    config: SftConfig,
    training: TrainingConfig,
    output_dir: Path,
    seed: int,
    on_step: Callable[[StepReport], None],
    checkpoints: Checkpoints | None = None,
) -> TrainingReport:
    """Fine-tunes a policy and saves it.

    Args:
        model_dir: The policy to start from, a local Hugging Face folder.
        examples: What to learn, in any order; the order of training follows from `seed`.
        config: Learning rate, epochs, batches.
        training: Precision, clipping, memory.
        output_dir: Where the trained policy is written.
        seed: Seed of the order (and of dropout, where the model has any).
        on_step: Called after each optimizer step.
        checkpoints: Where checkpoints go, and the one to go on from; None: none are taken.

    Raises:
        UsageError: `model_dir` holds no model, or a device is asked for that is not there.
        StageError: No example is left to learn from, or the loss became infinite.
    """
    started = time.perf_counter()
    usable = [
        example
        for example in examples
        if any(example.loss_mask[1:])
        and (config.max_tokens is None or len(example.token_ids) <= config.max_tokens)
    ]
    if not usable:
        raise StageError(
            f"SFT has nothing to learn from: 0 of {len(examples)} examples have loss tokens and "
            f"at most {config.max_tokens} tokens"
        )
    check_share(config.batch_size, "sft.batch_size", training)
    if training.in_ranks:
        ranks = RankedTraining(model_dir, config, training, output_dir, seed, on_step, checkpoints)
        steps = ranks.sft(usable)
    else:
        reporter = StepReporter(on_step)
        checkpointer = Checkpointer(checkpoints, training, reporter)
        with training_session(training), trainer_folder(output_dir) as scratch:
            fit_sft(
                model_dir, usable, config, training, output_dir, scratch, seed, reporter,
                checkpointer,
            )  # fmt: skip
        steps = reporter.steps
    return TrainingReport.of_steps(
        output_dir,
        steps,
        num_examples=len(usable) * config.num_epochs,
        started=started,
        precision=resolve_precision(training),
    )


def fit_sft(
    model_dir: Path,
    examples: Sequence[Example],
    config: SftConfig,
    training: TrainingConfig,
    output_dir: Path,
    scratch: str,
    seed: int,
    reporter: StepReporter,
    checkpointer: Checkpointer,
    world: World = ALONE,
) -> None:
    """Fine-tunes on examples that all can be used, in this process or as one of several ranks.

    Args:
        model_dir: The policy to start from.
        examples: All examples, on every rank.
        config: Learning rate, epochs, batches.
        training: Precision, clipping, memory, ranks.
        output_dir: Where the main rank writes the policy.
        scratch: Where the trainer writes on its way, seen by all ranks.
        seed: Seed of the order.
        reporter: Takes the steps.
        checkpointer: Takes the checkpoints.
        world: The ranks.
    """
    micro = micro_batch(config.batch_size, training)
    steps_per_epoch = -(-len(examples) // config.batch_size)
    # Before the model is loaded: where its weights are shared out, they are from the beginning.
    arguments = TrlSftConfig(
        **shared_arguments(training, scratch, seed),
        learning_rate=config.learning_rate,
        num_train_epochs=config.num_epochs,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=config.batch_size // world.size // micro,
        lr_scheduler_type=_SCHEDULES[config.schedule],
        warmup_steps=round(config.warmup_ratio * steps_per_epoch * config.num_epochs),
        weight_decay=config.weight_decay,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    model, tokenizer = load_policy(model_dir)
    add_scoring_forward(model)
    trainer = PackedSftTrainer(
        model=model,
        args=arguments,
        train_dataset=_dataset(examples, world),
        data_collator=collate,
        processing_class=tokenizer,
        peft_config=adapters(training.lora, dropout=True),
    )
    trainer.reporter = reporter
    trainer.world = world
    trainer.num_real_examples = len(examples)
    report_only(trainer, reporter)
    trainer.add_callback(checkpointer)
    trainer.train(resume_from_checkpoint=checkpointer.resume_from)
    save_policy(trainer.accelerator.unwrap_model(trainer.model), model_dir, output_dir, world)


def _dataset(examples: Sequence[Example], world: World) -> Dataset:
    # Several ranks get one example more, without tokens: it fills up what lacks in the last batch.
    fillers: list[list[int]] = [[]] if world.size > 1 else []
    return Dataset.from_dict(
        {
            "input_ids": [list(example.token_ids) for example in examples] + fillers,
            "loss_mask": [list(example.loss_mask) for example in examples] + fillers,
        }
    )
