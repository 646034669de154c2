"""What `evolvesearch doctor` looks at, one function a check; none of them changes anything.

`machine.py` looks at this machine, `torch_checks.py` at torch, its accelerator and what a training
takes, `versions.py` at the packages installed, `services.py` at the store and Prefect's server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flows.config import EvolutionConfig


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        status: `ok`, `warn` (works, but slower or less) or `fail` (runs will not work).
        found: What was found.
        hint: What to do about it; empty where there is nothing to do.
    """

    name: str
    status: str
    found: str
    hint: str = ""


def all_checks(config: EvolutionConfig) -> Iterator[Check]:
    """Makes all checks, the quick ones first.

    Args:
        config: Names the store that is looked for, and says where stages run.
    """
    from deployments.cli import machine, services, torch_checks, versions

    yield machine.python_version()
    yield machine.cores()
    yield machine.memory()
    yield from machine.disks(config.store)
    yield machine.fast_bf16()
    yield from torch_checks.torch_and_gpu()
    yield from torch_checks.training_memory(config)
    yield machine.chromium()
    yield machine.cached_assets()
    yield machine.search_keys()
    yield services.store(config.store)
    yield versions.as_tested()
    yield versions.that_work_together()
    yield from services.prefect(config)
