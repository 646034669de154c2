"""Configuration of engines; free of torch, so that reading a config stays cheap."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from agents.configuration import Config


class VllmConfig(Config):
    """The vLLM server: one that we start, or one that runs already."""

    url: str = ""
    """Address of a running server, as `http://host:8000`, which must serve the policy's weights;
    empty: a server is started on loopback for the policy and stopped with the engine."""

    python: str = ""
    """Path of the Python that has vLLM; empty: this one where it has vLLM, else that of
    `.venv-vllm`, which `make vllm` builds."""

    start_timeout_s: float = Field(default=600.0, gt=0)
    """Seconds within which a server must have loaded the model and answer."""

    request_timeout_s: float = Field(default=600.0, gt=0)
    """Seconds within which one generation must be back, its time in the server's queue included."""

    sync_timeout_s: float = Field(default=300.0, gt=0)
    """Seconds within which a server must have taken over new weights; beyond them the stage fails
    instead of waiting."""

    devices: str = ""
    """Accelerators of the server, as `2,3`; empty: all that this process sees. The trainer's are
    those of `CUDA_VISIBLE_DEVICES`."""

    colocated: bool = False
    """Whether trainer and server share an accelerator: the server then sleeps while the trainer
    works and gives its memory back (CUDA and ROCm). Otherwise each needs its own `devices`."""

    max_restarts: int = Field(default=2, ge=0)
    """How often a server of ours that died is started again; what it was generating is asked for
    again."""

    gpu_memory_share: float = Field(default=0.85, gt=0, le=1)
    """Share of an accelerator's memory that the server may take; lower it where a trainer shares
    the accelerator, `colocated` or not. Without effect on a CPU."""

    kv_cache_gb: int = Field(default=2, ge=1)
    """Memory for keys and values on a CPU, in GiB."""

    extra_args: tuple[str, ...] = ()
    """Further arguments of `vllm serve`, as `["--tensor-parallel-size=2"]`."""

    @model_validator(mode="after")
    def _sleeps_if_ours(self) -> Self:
        if self.colocated and self.url:
            raise ValueError("colocated is for a server of ours; leave url empty")
        return self


class OpenAiConfig(Config):
    """Any API with OpenAI's chat completions: teachers, judges and closed models.

    The tokenizer is that of `model`: conversations are counted and recorded with it.
    """

    url: str = "https://api.openai.com/v1"
    """Address of the API, up to and without `/chat/completions`."""

    model: str = ""
    """Name of the model there."""

    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; empty for an API that wants none. The key itself
    never goes into a configuration, a log or an artifact."""

    requests_per_minute: float = Field(default=0.0, ge=0)
    """Most requests begun in a minute; 0 sets no limit."""

    max_retries: int = Field(default=5, ge=0)
    """How often a request is repeated after a refusal for rate, a server error or a broken
    connection; waits double from one second, with jitter, or are as long as the API asks."""

    request_timeout_s: float = Field(default=120.0, gt=0)
    """Seconds within which one request must be answered."""

    input_price: float = Field(default=0.0, ge=0)
    """Price of a million input tokens, in the currency of `budget`."""

    output_price: float = Field(default=0.0, ge=0)
    """Price of a million output tokens."""

    budget: float = Field(default=0.0, ge=0)
    """Most that one process may spend, a request's greatest possible price counted before it is
    sent; beyond it the stage stops with exit code 3. 0 sets no limit."""

    @model_validator(mode="after")
    def _holds_no_key(self) -> Self:
        # It stands in records and errors; those of one field alone would show what was given.
        if "@" in urlsplit(self.url).netloc:
            raise ValueError("url: it must hold no keys; they come from the environment")
        return self

    @model_validator(mode="after")
    def _can_count(self) -> Self:
        if self.budget and not (self.input_price or self.output_price):
            raise ValueError("a budget needs input_price and output_price to be counted with")
        return self


class EngineConfig(Config):
    """Which engine generates, in what precision and for how many sessions at once."""

    kind: Literal["transformers", "vllm", "openai"] = "transformers"
    """`transformers`: in this process, from a local model folder. `vllm`: a vLLM server. `openai`:
    an API for chat completions; its model cannot be trained."""

    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Precision of weights, keys and values. `auto` is bfloat16 where the device multiplies it
    natively (AMX or AVX512-BF16 on a CPU, most GPUs), else float32; with `deterministic` it is
    float32."""

    device: str = "auto"
    """`auto` is the first GPU where there is one, else the CPU; else a torch device by name."""

    batch_size: int = Field(default=64, ge=1)
    """Most sessions that generate at the same time. Keys and values of that many sessions are
    kept at hand; those of further sessions are parked in memory of their own."""

    max_open: int | None = Field(default=None, ge=1)
    """Most trajectories in progress at once, those that wait for a tool included; None:
    twice `batch_size` with `transformers`, which keeps the keys and values of all of them, else
    eight times. More are opened only while a place to generate would stand empty."""

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

    vllm: VllmConfig = VllmConfig()
    """The server of kind `vllm`."""

    openai: OpenAiConfig = OpenAiConfig()
    """The API of kind `openai`."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.deterministic and self.dtype == "bfloat16":
            raise ValueError(
                "deterministic needs dtype float32 (or auto), got bfloat16: its results vary "
                "with the batch; set dtype to auto or switch deterministic off"
            )
        if self.kind != "transformers" and (self.deterministic or self.num_replicas > 1):
            raise ValueError(
                f"deterministic and num_replicas belong to kind transformers, got kind {self.kind}"
            )
        if self.kind == "openai" and not self.openai.model:
            raise ValueError("kind openai needs openai.model, the model's name at the API")
        if self.num_replicas > self.batch_size:
            raise ValueError(
                f"num_replicas is {self.num_replicas}, but batch_size {self.batch_size} leaves "
                "some of them no session; lower num_replicas or raise batch_size"
            )
        return self


def most_open(config: EngineConfig) -> int:
    """Most trajectories in progress at once over an engine of this configuration."""
    if config.max_open is not None:
        return config.max_open
    return config.batch_size * (2 if config.kind == "transformers" else 8)
