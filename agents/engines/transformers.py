"""The engine that runs in this process: many sessions, one batch, keys and values kept.

Parts: `weights` reads and packs a model, `cache` holds keys and values, `sessions` says whose
they are, `attention` and `decoder` compute, `sampling` samples, `batcher` does all this in steps;
this module is its thread and the asynchronous face of it.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from agents.engines.base import Generation, SamplingParams
from agents.engines.batcher import Batcher, EngineStats, Request
from agents.engines.config import EngineConfig
from agents.engines.device import choose_device, choose_dtype
from agents.engines.sessions import as_ids
from agents.engines.weights import pack_weights, read_config, read_tensors, shape_of
from agents.errors import EngineError


class TransformersEngine:
    """Generates with a local model folder of the Llama, Mistral, Qwen2 or Qwen3 family.

    Args:
        model_dir: Plain Hugging Face folder: config.json and safetensors.
        config: Precision, device and batch size.
        max_context_tokens: Most tokens, prompt and generation together, of one session.

    Raises:
        EngineError: The model cannot be loaded, or its positions end before
            `max_context_tokens`.
    """

    def __init__(self, model_dir: Path, config: EngineConfig, max_context_tokens: int) -> None:
        model_config = read_config(model_dir)
        self._shape = shape_of(model_config)
        if max_context_tokens > self._shape.max_positions:
            raise EngineError(
                f"max_context_tokens is {max_context_tokens}, but the model in {model_dir} has "
                f"{self._shape.max_positions} positions; lower agents.max_context_tokens"
            )
        self._device = choose_device(config.device)
        self._dtype = choose_dtype(config, self._device)
        self._max_context_tokens = max_context_tokens
        weights = pack_weights(read_tensors(model_dir), self._shape, self._dtype, self._device)
        self._batcher: Batcher | None = Batcher(
            weights, self._shape, model_config, config, max_context_tokens
        )
        self._threads = config.threads
        self._inbox: queue.SimpleQueue[Callable[[Batcher], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._worker = threading.Thread(
            target=self._work, args=(self._batcher,), name="engine", daemon=True
        )
        self._worker.start()

    @property
    def max_context_tokens(self) -> int:
        """Most tokens, prompt and generation together, that one session may hold."""
        return self._max_context_tokens

    @property
    def dtype(self) -> torch.dtype:
        """Precision of weights, keys and values."""
        return self._dtype

    @property
    def stats(self) -> EngineStats:
        """What has been computed so far, and in what time; a copy."""
        if self._batcher is None:
            raise EngineError("the engine is closed")
        return replace(self._batcher.stats)

    async def generate(
        self, session: str, token_ids: Sequence[int], sampling: SamplingParams
    ) -> Generation:
        """Samples a continuation of `token_ids`, the whole conversation of `session` so far.

        What of it the session has already seen is not computed again. The generation ends at
        the latest where the context is full, with `finish_reason` "length".

        Raises:
            EngineError: The conversation does not fit, the session is already generating, or
                the engine failed.
        """
        self._check(token_ids)
        request = Request(session, as_ids(token_ids), sampling)
        self._post(lambda batcher: batcher.add(request))
        return await asyncio.wrap_future(request.future)

    def release(self, session: str) -> None:
        """Frees what is kept for a session; unknown sessions are ignored."""
        if not self._closed:
            self._post(lambda batcher: batcher.release(session))

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over new weights, as a trainer has them; what sessions have kept is forgotten.

        Args:
            tensors: State dict of the causal LM, in any precision and on any device.

        Raises:
            EngineError: A generation is running, or a tensor is missing or misshapen.
        """
        done: Future[None] = Future()

        def swap(batcher: Batcher) -> None:
            try:
                batcher.load_weights(pack_weights(tensors, self._shape, self._dtype, self._device))
            except Exception as error:  # handed to the caller, whatever it is
                done.set_exception(error)
            else:
                done.set_result(None)

        self._post(swap)
        done.result()

    def rest(self) -> None:
        """Does nothing: keys and values are a trainer's neighbours, and small beside its own."""

    def close(self) -> None:
        """Ends the engine and frees its memory; running generations fail."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._inbox.put(None)
        self._worker.join()
        self._batcher = None

    def _check(self, token_ids: Sequence[int]) -> None:
        if not token_ids:
            raise EngineError("got an empty prompt; expected at least one token id")
        if len(token_ids) >= self._max_context_tokens:
            raise EngineError(
                f"the conversation has {len(token_ids)} tokens, which leaves no room for an "
                f"answer in a context of {self._max_context_tokens}"
            )
        if min(token_ids) < 0 or max(token_ids) >= self._shape.vocab_size:
            raise EngineError(
                f"got token ids from {min(token_ids)} to {max(token_ids)}; the model knows 0 to "
                f"{self._shape.vocab_size - 1}: use the tokenizer of the same folder"
            )

    def _post(self, message: Callable[[Batcher], None]) -> None:
        with self._lock:
            if self._closed:
                raise EngineError("the engine is closed")
            self._inbox.put(message)

    def _work(self, batcher: Batcher) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while True:
                try:
                    message = self._inbox.get(block=not batcher.has_work)
                except queue.Empty:
                    batcher.step()
                    continue
                if message is None:
                    batcher.fail_all(EngineError("the engine was closed"))
                    return
                message(batcher)
