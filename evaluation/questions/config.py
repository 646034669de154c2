"""How many questions are built, how hard they are, and whose questions are used instead."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agents.configuration import Config


class QuestionsConfig(Config):
    """The question set of a run."""

    num_training: Annotated[int, Field(ge=1)] = 5_000
    """Training questions; of a `training_file`, at most its first so many."""
    num_gate: Annotated[int, Field(ge=1)] = 200
    """Questions of the promotion gate's split; of a `gate_file`, at most its first so many."""
    num_per_benchmark: Annotated[int, Field(ge=1)] = 200
    """Questions of each built benchmark. Benchmarks of one's own are taken whole."""
    obfuscation_rate: Annotated[float, Field(ge=0.0, le=1.0)] = 0.3
    """Share of questions that describe their entity by another fact instead of naming it, as far
    as there are such descriptions; 0 names always."""
    max_training_hops: Annotated[int, Field(ge=2, le=3)] = 3
    """Most facts that a training or gate question needs; benchmarks go beyond it."""
    training_file: str = ""
    """File of training questions (JSONL, JSON, CSV, TSV or Parquet with `question`, `answers`,
    perhaps `id`), in place of built ones; empty builds them."""
    gate_file: str = ""
    """Such a file of the gate's questions, in place of built ones; empty builds them."""
    benchmark_files: dict[str, str] = Field(default={})
    """Such files of further benchmarks, by name."""
