"""A stage's key: everything that its result depends on, as one name.

A stage whose key already has a complete artifact is reused, across runs and processes. The key
covers the stage's name, its configuration, the digests of its inputs, the seed, the iteration,
and a code version: the digest of the source files that the stage runs through and the installed
versions of the libraries that do the numbers. A change in a library package re-runs the stages
that use it; a change in the flows, the command line, the store or another stage's adapter does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.manifest import ArtifactRef

_AGENTS = ("agents",)
_QUESTIONS = ("agents", "evaluation")
_LIBRARIES = ("agents", "evaluation", "training")
_NUMBERS = ("torch", "transformers", "trl")

_CODE_OF: Mapping[str, tuple[str, ...]] = {
    "construct": _LIBRARIES,
    "cold_start": (*_AGENTS, "training/construction"),
    "rollout": _AGENTS,
    "filter": _LIBRARIES,
    "sft": _LIBRARIES,
    "rl": _LIBRARIES,
    "benchmark": _QUESTIONS,
    "closed_book": _QUESTIONS,
    "benchmark_rollouts": _AGENTS,
}
"""Source folders that each stage runs through; a stage not named here runs through all."""

_SHARED = ("schemas", "rows", "sampled", "sampling_inputs", "selection", "web_caches")
_SHARED_JOBS = ("payload", "sampling", "page_log", "cache_log")

_SUFFIXES = frozenset({".py", ".md", ".sql", ".jinja"})


def stage_key(
    stage: str,
    config: Mapping[str, Any] | BaseModel,
    inputs: Sequence[ArtifactRef | str],
    seed: int,
    iteration: int,
    *,
    redo: str = "",
) -> str:
    """Names a stage's result by everything that it depends on.

    Args:
        stage: Name of the stage.
        config: The configuration that the stage reads: a config, or sections by name.
        inputs: Artifacts it reads, or digests of other inputs, in order.
        seed: Seed of the run.
        iteration: Iteration it runs in.
        redo: Any text that no earlier run used, to compute again what is there already.

    Returns:
        `<stage>-<32 hex digits>`.
    """
    digests = [item if isinstance(item, str) else item.digest for item in inputs]
    document = {
        "stage": stage,
        "config": _plain(config),
        "inputs": digests,
        "seed": seed,
        "iteration": iteration,
        "code": code_version(stage),
        "redo": redo,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


@lru_cache(maxsize=64)
def code_version(stage: str = "") -> str:
    """Digest of the source files and libraries that a stage runs through (empty: all)."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(set(_sources(root, stage))):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    for library in _NUMBERS:
        digest.update(f"{library}=={version(library)}\0".encode())
    return digest.hexdigest()[:16]


def _sources(root: Path, stage: str) -> Iterator[Path]:
    for folder in _CODE_OF.get(stage, (*_LIBRARIES, "tasks")):
        for path in (root / folder).rglob("*"):
            if path.suffix in _SUFFIXES:
                yield path
    # The stage's own adapter, what adapters share, and the shape of what they write.
    tasks = root / "tasks"
    own = [*tasks.glob(f"{stage}*.py"), *(tasks / f"{name}.py" for name in _SHARED)]
    jobs = [path for path in (tasks / "jobs").glob("*.py") if path.stem in (stage, *_SHARED_JOBS)]
    yield from (path for path in (*own, *jobs) if path.is_file())


def _plain(value: Any) -> Any:
    """A configuration as JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a stage's config holds JSON values, got {type(value).__name__}")
