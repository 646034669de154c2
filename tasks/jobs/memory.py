"""What SFT and RL are going to take of the memory, compared with what there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from tasks.jobs.payload import Job
from tasks.training_memory import training_needs
from training.memory_check import MemoryNeed, check_memory
from training.memory_limits import free_memory
from training.memory_pass import largest_batch
from training.model_shape import ModelShape
from training.policy_folder import resolve_device, resolve_precision
from training.sft import Example


def check_sft_memory(job: Job, examples: Sequence[Example]) -> None:
    """Compares SFT on these examples with what is free.

    Raises:
        MemoryNeedError: It needs more, and `training.memory_check` is `error`.
    """
    lengths = [len(example.token_ids) for example in examples]
    losses = [sum(example.loss_mask) for example in examples]
    prefix = _common_prefix([example.token_ids for example in examples])
    config = job.config
    sft, _ = _needs(job)
    size = config.sft.batch_size // config.training.launch.num_processes
    need = replace(
        sft, batch_of=lambda micro: largest_batch(lengths, losses, min(micro, size), prefix)
    )
    check_memory(need, _free(need.device), config.training.memory_check)


def check_rl_memory(job: Job) -> None:
    """Compares RL, its engine included, with what is free.

    How long rollouts become is not known before: all of them are taken to be as long as may be.

    Raises:
        MemoryNeedError: It needs more, and `training.memory_check` is `error`.
    """
    _, need = _needs(job)
    check_memory(need, _free(need.device), job.config.training.memory_check)


def _needs(job: Job) -> tuple[MemoryNeed, MemoryNeed]:
    training = job.config.training
    return training_needs(
        job.config,
        ModelShape.of_folder(job.store.policy_folder(job.inputs["policy"])),
        bf16=resolve_precision(training) == "bf16",
        device=resolve_device(training),
    )


def _free(device: str) -> int | None:
    return free_memory() if device == "cpu" else torch.cuda.mem_get_info()[0]


def _common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Tokens that all sequences begin with."""
    first, last = min(map(tuple, sequences), default=()), max(map(tuple, sequences), default=())
    pairs = enumerate(zip(first, last, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(first), len(last)))
