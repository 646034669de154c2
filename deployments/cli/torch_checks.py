"""What `evolvesearch doctor` looks at of torch: build, accelerator, what a training takes."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agents.errors import EvolveSearchError
from deployments.cli.checks import Check
from deployments.cli.machine import fast_bf16

if TYPE_CHECKING:
    from flows.config import EvolutionConfig

_GIB = 1 << 30
_MIN_FREE_SHARE = 0.8
"""An accelerator with less of its memory free is in use by something else."""


def torch_and_gpu() -> Iterator[Check]:
    """The build of torch, and the accelerator it sees."""
    try:
        import torch
    except ImportError as error:
        yield Check("torch", "fail", f"cannot be imported: {error}", "make install")
        return
    yield Check("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        driver = _driver()
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            yield gpu(torch.cuda.get_device_name(index), driver, free, total)
    elif shutil.which("nvidia-smi"):
        hint = "make install TORCH=gpu installs the build of torch that can"
        yield Check("gpu", "warn", "there is one, but this build of torch cannot use it", hint)
    else:
        yield Check("gpu", "ok", "none; everything runs on the CPU")


def gpu(name: str, driver: str, free: int, total: int) -> Check:
    """One accelerator and its memory.

    Args:
        name: Its name.
        driver: Version of its driver, empty where that is not to be read.
        free: Bytes of its memory that are free.
        total: Bytes of its memory.
    """
    of_driver = f", driver {driver}" if driver else ""
    found = f"{name}{of_driver}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    if free >= _MIN_FREE_SHARE * total:
        return Check("gpu", "ok", found)
    hint = "another program holds the rest: nvidia-smi names it; a stage killed by hand may be one"
    return Check("gpu", "warn", found, hint)


def _driver() -> str:
    """Version of NVIDIA's driver, empty where its own tool cannot tell."""
    if not shutil.which("nvidia-smi"):
        return ""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""


def training_memory(config: EvolutionConfig) -> Iterator[Check]:
    """What SFT and RL of this configuration may take of the memory that is free."""
    from agents.assets.model import fetched_model
    from tasks.config import TINY_MODEL
    from tasks.training_memory import training_needs
    from training.memory_check import advice
    from training.memory_limits import free_memory
    from training.model_shape import ModelShape

    # Of an accelerator it is known when a stage starts on it how much is free.
    if config.model == TINY_MODEL or not _trains_on_cpu(config):
        return
    try:
        folder = fetched_model(config.model)
        if folder is None:
            found = f"not known before {config.model} is fetched"
            yield Check("training memory", "ok", found, "evolvesearch assets")
            return
        shape = ModelShape.of_folder(folder)
    except EvolveSearchError as error:
        yield Check("training memory", "fail", str(error))
        return
    bf16 = config.training.precision != "fp32" and fast_bf16().status == "ok"
    free = free_memory()
    for need in training_needs(config, shape, bf16=bf16, device="cpu"):
        name = f"{need.stage} memory"
        found = f"up to {need.worst}"
        if free is None or need.num_bytes <= free:
            yield Check(name, "ok", found)
        else:
            hint = f"only {free / _GIB:.2f} GiB are free: {advice(need, free)}"
            yield Check(name, "warn", found, hint)


def _trains_on_cpu(config: EvolutionConfig) -> bool:
    if config.training.device == "auto" and importlib.util.find_spec("torch"):
        import torch

        return not torch.cuda.is_available()
    return config.training.device != "cuda"
