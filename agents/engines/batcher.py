"""Continuous batching: requests come and go at every step, and a step serves all of them.

A step first computes the new prompt tokens of all admitted requests, packed, then one more token
of all that generate. The last prompt token is always left to the generating batch, so that
logits come from one place only. In deterministic mode every pass has one shape: one chunk of one
session, or one token of all slots; no result then depends on who else is there.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agents.engines.attention import plan_decode
from agents.engines.base import Generation, SamplingParams
from agents.engines.cache import KeyValuePool, index_tensor
from agents.engines.config import EngineConfig
from agents.engines.decoder import Decoder
from agents.engines.sampling import random_stream, sample
from agents.engines.sessions import Ids, Slot, SlotTable
from agents.engines.weights import DecoderShape, DecoderWeights, rotary_tables
from agents.errors import EngineError

CPU_PAGE_TOKENS = 128
GPU_PAGE_TOKENS = 512
"""Larger pages mean fewer and larger kernels, smaller ones less memory and less to read."""

T = TypeVar("T")

DUMMY = SamplingParams(temperature=0.0, top_p=1.0, max_new_tokens=1, seed=0, stop_token_ids=())


@dataclass(slots=True)
class EngineStats:
    """Counters since the engine's start; times are seconds of wall clock.

    Attributes:
        prefilled_tokens: Prompt tokens computed.
        reused_tokens: Prompt tokens whose keys and values were there already.
        sampled_tokens: Tokens sampled.
        decode_steps: Steps of the generating batch.
        prefill_s: Time in prompt passes.
        decode_s: Time in generating steps.
    """

    prefilled_tokens: int = 0
    reused_tokens: int = 0
    sampled_tokens: int = 0
    decode_steps: int = 0
    prefill_s: float = 0.0
    decode_s: float = 0.0


@dataclass(slots=True, eq=False)
class Request:
    """One generation on its way."""

    session: str
    ids: Ids
    sampling: SamplingParams
    future: Future[Generation] = field(default_factory=Future)
    sampled: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    slot: Slot | None = None
    stream: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Opens the generation's own random stream."""
        self.stream = random_stream(self.sampling.seed)


class Batcher:
    """Requests in, results into their futures; used from one thread only.

    Args:
        weights: Packed weights.
        shape: Their sizes.
        model_config: The Transformers configuration.
        config: Batch size, chunk size and determinism.
        max_context_tokens: Most tokens of one session.
    """

    def __init__(
        self,
        weights: DecoderWeights,
        shape: DecoderShape,
        model_config: Any,
        config: EngineConfig,
        max_context_tokens: int,
    ) -> None:
        self.stats = EngineStats()
        embedding = weights.embedding
        self._device = embedding.device
        self._max_context_tokens = max_context_tokens
        self._chunk_tokens = config.prefill_chunk_tokens
        self._constant = config.deterministic
        pool = KeyValuePool(
            shape,
            config.batch_size,
            max_context_tokens,
            CPU_PAGE_TOKENS if self._device.type == "cpu" else GPU_PAGE_TOKENS,
            embedding.dtype,
            self._device,
        )
        rotary = rotary_tables(model_config, max_context_tokens, embedding.dtype, self._device)
        self._pool = pool
        self._decoder = Decoder(weights, shape, rotary, pool)
        self._table = SlotTable(
            pool, max_context_tokens, self._chunk_tokens if config.deterministic else None
        )
        self._waiting: list[Request] = []
        self._prefilling: list[Request] = []
        self._decoding: list[Request] = []

    @property
    def has_work(self) -> bool:
        """Whether any request is unfinished."""
        return bool(self._waiting or self._prefilling or self._decoding)

    def add(self, request: Request) -> None:
        """Takes a request; a session generates one thing at a time."""
        self._drop_cancelled()
        if any(other.session == request.session for other in self._requests()):
            _fail(request, EngineError(f"session {request.session!r} is already generating"))
        else:
            self._waiting.append(request)

    def release(self, session: str) -> None:
        """Frees what a session holds; what it still generates fails."""
        for request in self._requests():
            if request.session == session:
                self._remove(request)
                _fail(request, EngineError(f"session {session!r} was released while generating"))
        self._table.release(session)

    def load_weights(self, weights: DecoderWeights) -> None:
        """Replaces the weights and forgets all keys and values.

        Raises:
            EngineError: A request is unfinished.
        """
        self._drop_cancelled()
        if self.has_work:
            raise EngineError("cannot load weights while sessions generate; await them first")
        self._decoder.weights = weights
        self._table.forget()

    def fail_all(self, error: EngineError) -> None:
        """Ends all requests with an error."""
        for request in self._requests():
            _fail(request, error)
        self._waiting, self._prefilling, self._decoding = [], [], []
        self._table.forget()

    def step(self) -> None:
        """Admits what can be admitted, computes its prompts, and samples one token for all."""
        try:
            self._drop_cancelled()
            self._admit()
            while self._prefilling:
                self._prefill()
                self._admit()
            if self._decoding:
                self._decode()
        except Exception as error:  # reaches every caller as the cause of a typed error
            failure = EngineError(f"the engine failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self.fail_all(failure)

    def _admit(self) -> None:
        still_waiting = []
        for request in self._waiting:
            slot = self._table.admit(request.session, request.ids)
            if slot is None:
                still_waiting.append(request)
                continue
            request.slot = slot
            self.stats.reused_tokens += slot.computed
            done = slot.computed == slot.planned - 1
            (self._decoding if done else self._prefilling).append(request)
        self._waiting = still_waiting

    def _prefill(self) -> None:
        """One pass over prompt tokens of as many sessions as fit."""
        started = time.perf_counter()
        room = self._chunk_tokens
        pieces: list[tuple[int, int, list[int]]] = []
        for request in self._prefilling:
            slot = _slot(request)
            count = min(room, slot.planned - 1 - slot.computed)
            ids = slot.ids[slot.computed : slot.computed + count].tolist()
            pieces.append((slot.index, slot.computed, ids))
            room -= count
            if room == 0 or self._constant:
                break
        self._decoder.prefill(pieces, pad_to=self._chunk_tokens if self._constant else None)
        served = self._prefilling[: len(pieces)]
        for request, (_, _, ids) in zip(served, pieces, strict=True):
            slot = _slot(request)
            self._table.advance(slot, len(ids))
            self.stats.prefilled_tokens += len(ids)
            if slot.computed == slot.planned - 1:
                self._prefilling.remove(request)
                self._decoding.append(request)
        self.stats.prefill_s += time.perf_counter() - started

    def _decode(self) -> None:
        """One more token for every generating session."""
        started = time.perf_counter()
        requests = sorted(self._decoding, key=lambda request: _slot(request).index)
        slots = [_slot(request) for request in requests]
        plan = plan_decode(
            self._pool,
            [slot.index for slot in slots],
            [slot.computed for slot in slots],
            constant=self._constant,
        )
        ids = [int(slot.ids[slot.computed]) for slot in slots]
        sampling = [request.sampling for request in requests]
        uniforms = [request.stream.random() for request in requests]
        rows = list(range(len(slots)))
        if self._constant:
            rows = [slot.index for slot in slots]
            ids = _spread(ids, rows, self._pool.num_slots, 0)
            sampling = _spread(sampling, rows, self._pool.num_slots, DUMMY)
            uniforms = _spread(uniforms, rows, self._pool.num_slots, 0.0)
        hidden = self._decoder.decode(index_tensor(ids, self._device), plan)
        sampled, logprobs = sample(self._decoder.logits(hidden), sampling, uniforms)
        for row, request in zip(rows, requests, strict=True):
            self._table.append(_slot(request), sampled[row])
            request.sampled.append(sampled[row])
            request.logprobs.append(logprobs[row])
            self._finish_if_done(request)
        self.stats.sampled_tokens += len(requests)
        self.stats.decode_steps += 1
        self.stats.decode_s += time.perf_counter() - started

    def _finish_if_done(self, request: Request) -> None:
        slot, sampling = _slot(request), request.sampling
        stopped = request.sampled[-1] in sampling.stop_token_ids
        full = slot.planned >= self._max_context_tokens
        if not (stopped or full or len(request.sampled) >= sampling.max_new_tokens):
            return
        self._decoding.remove(request)
        self._table.rest(slot)
        if request.future.set_running_or_notify_cancel():
            request.future.set_result(
                Generation(
                    tuple(request.sampled),
                    tuple(request.logprobs),
                    "stop" if stopped else "length",
                )
            )

    def _drop_cancelled(self) -> None:
        for request in self._requests():
            if request.future.cancelled():
                self._remove(request)
                if request.slot is not None:
                    self._table.rest(request.slot)

    def _requests(self) -> list[Request]:
        return [*self._waiting, *self._prefilling, *self._decoding]

    def _remove(self, request: Request) -> None:
        for requests in (self._waiting, self._prefilling, self._decoding):
            if request in requests:
                requests.remove(request)


def _slot(request: Request) -> Slot:
    assert request.slot is not None, "only admitted requests are computed"
    return request.slot


def _spread(values: list[T], rows: list[int], size: int, filler: T) -> list[T]:
    """Puts `values` at `rows` of a list of `size`, with `filler` elsewhere."""
    spread = [filler] * size
    for row, value in zip(rows, values, strict=True):
        spread[row] = value
    return spread


def _fail(request: Request, error: EngineError) -> None:
    if request.future.set_running_or_notify_cancel():
        request.future.set_exception(error)
