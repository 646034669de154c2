"""Configuration of engines; free of torch, so that reading a config stays cheap."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from agents.configuration import Config


class EngineConfig(Config):
    """Which engine generates, in what precision and for how many sessions at once."""

    kind: Literal["transformers"] = "transformers"
    """`transformers`: in this process, from a local model folder."""

    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Precision of weights, keys and values. `auto` is bfloat16 where the device multiplies it
    natively (AMX or AVX512-BF16 on a CPU, most GPUs), else float32; with `deterministic` it is
    float32."""

    device: str = "auto"
    """`auto` is the first GPU where there is one, else the CPU; else a torch device by name."""

    batch_size: int = Field(default=64, ge=1)
    """Most sessions that generate at the same time. Keys and values of that many sessions are
    kept at hand; those of further sessions are parked in memory of their own."""

    prefill_chunk_tokens: int = Field(default=512, ge=16)
    """Most prompt tokens computed in one pass; more need more memory for activations."""

    deterministic: bool = False
    """Same ids and logprobs bit for bit, whatever the order and concurrency of sessions: float32
    and constant shapes, at some cost in speed. Holds on one machine with one thread count."""

    num_replicas: int = Field(default=1, ge=1)
    """Engines that share the sessions, each with its own copy of the weights and an equal part of
    `batch_size`. On a CPU, one a core with `threads = 1` is fastest for small models."""

    threads: int | None = Field(default=None, ge=1)
    """CPU threads of each engine; None leaves torch's choice."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.deterministic and self.dtype == "bfloat16":
            raise ValueError(
                "deterministic needs dtype float32 (or auto), got bfloat16: its results vary "
                "with the batch; set dtype to auto or switch deterministic off"
            )
        if self.num_replicas > self.batch_size:
            raise ValueError(
                f"num_replicas is {self.num_replicas}, but batch_size {self.batch_size} leaves "
                "some of them no session; lower num_replicas or raise batch_size"
            )
        return self
