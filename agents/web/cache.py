"""Answers of the web, kept by request: recorded as they come, replayed, or required.

Equal requests at the same time make one call. What a stage of a run asked for is drained into the
store, whoever answered it, so that its record alone is enough to do the same again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import zlib
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any

from agents.errors import StoppedError
from agents.tools.base import ToolFailure
from agents.web.budget import Budget

FORMAT = 1
"""Version of what is kept; answers of another version are not found."""

SETTLE_S = 5.0
"""Seconds that a spent budget leaves to the calls under way."""

UNRECORDED_BYTES = 64_000_000
"""What mode `off` keeps at hand for the process, the latest used first, compressed."""


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """One answer of the web.

    Attributes:
        request: Digest of kind, request and format; equal requests have one.
        kind: What was asked: `search.local`, `search.serper`, `page`, ….
        asked: The request as canonical JSON.
        response: The answer as JSON.
        fetched_at: When it came, ISO 8601 in UTC; outside every digest.
        wall_s: Seconds it took; outside every digest.
        cost: What was paid since the answer before, failed attempts included; outside every
            digest.
    """

    request: str
    kind: str
    asked: str
    response: str
    fetched_at: str
    wall_s: float
    cost: float


def request_key(kind: str, request: Mapping[str, Any]) -> tuple[str, str]:
    """Digest and canonical JSON of a request."""
    asked = json.dumps(request, sort_keys=True, separators=(",", ":"))
    named = json.dumps([FORMAT, kind, asked]).encode()
    return hashlib.sha256(named).hexdigest(), asked


class WebCache:
    """Answers of the web in one process; asked from one event loop at a time.

    Args:
        mode: `off` keeps answers for the process alone; `record` keeps what comes for the store;
            `replay` looks into `source` first; `offline` looks nowhere else.
        source: Answers that were recorded before; of equal requests the first counts.
        resumed: Answers that this stage had kept before it was interrupted.
        ttl_s: Seconds after which `replay` asks again; None: never.
        budget: Where the cost of calls is counted.
    """

    def __init__(
        self,
        mode: str = "off",
        source: Iterable[CachedAnswer] = (),
        resumed: Iterable[CachedAnswer] = (),
        ttl_s: float | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.budget = budget or Budget()
        self._mode = mode
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._num_bytes = 0
        self._recorded: dict[str, CachedAnswer] = {}
        self._new: list[CachedAnswer] = []
        self._lock = Lock()
        self._flights: dict[str, asyncio.Future[Any]] = {}
        self._stopping: set[str] = set()
        self._waiting: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        oldest = "" if ttl_s is None or mode != "replay" else _before(ttl_s)
        for answer in resumed:
            self._known.setdefault(answer.request, _packed(answer.response))
        for answer in source:
            if answer.request not in self._known and answer.fetched_at >= oldest:
                self._known[answer.request] = _packed(answer.response)
                self._recorded[answer.request] = replace(answer, response="", cost=0.0)

    async def get(
        self, kind: str, request: Mapping[str, Any], make: Callable[[], Awaitable[Any]]
    ) -> Any:
        """The answer to a request.

        Args:
            kind: What is asked; names the shape of request and answer.
            request: All that the answer depends on, JSON values.
            make: Asks the web; its answer must be JSON values. What it raises is not kept.

        Returns:
            The answer; several callers may share it, so it must not be changed.

        Raises:
            ToolFailure: Mode `offline` does not know the answer; or as `make` raised it.
            StoppedError: As `make` raised it, once the calls under way have come back.
        """
        key, asked = request_key(kind, request)
        self._counts["requests"] += 1
        known = self._known.get(key)
        if known is not None:
            self._counts["hits"] += 1
            self._known.move_to_end(key)
            self._use_recorded(key)
            return json.loads(zlib.decompress(known))
        if self._mode == "offline":
            raise ToolFailure(
                f"web.cache=offline holds no answer to {kind} {asked}: "
                "record it, or let web.cache=replay ask for it"
            )
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(self._fetch(key, kind, asked, make))
            self._flights[key] = flight
            flight.add_done_callback(partial(self._landed, key))
        else:
            self._counts["hits"] += 1
        self._waiting[key] += 1
        try:
            # One caller's end must not take the answer from the others.
            return await asyncio.shield(flight)
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
                if not flight.done():
                    self._flights.pop(key, None)
                    flight.cancel()

    def drain(self) -> list[CachedAnswer]:
        """Answers that this stage used for the first time since the last call; none when `off`."""
        with self._lock:
            drained, self._new = self._new, []
        return drained

    def metrics(self) -> dict[str, float]:
        """Requests, and the share of them that needed no call."""
        requests = self._counts["requests"]
        return {
            "web_requests": float(requests),
            "web_hit_rate": self._counts["hits"] / requests if requests else 0.0,
        }

    async def _fetch(
        self, key: str, kind: str, asked: str, make: Callable[[], Awaitable[Any]]
    ) -> Any:
        started = time.perf_counter()
        try:
            made = await make()
        except StoppedError:
            await self._settle(key)
            raise
        # Escaped to ASCII: a page may hold lone surrogates, which no file can.
        response = json.dumps(made)
        self._keep(key, _packed(response))
        if self._mode != "off":
            answer = CachedAnswer(
                request=key,
                kind=kind,
                asked=asked,
                response=response,
                fetched_at=_now(),
                wall_s=time.perf_counter() - started,
                cost=self.budget.take_unrecorded(),
            )
            with self._lock:
                self._new.append(answer)
        return json.loads(response)

    async def _settle(self, key: str) -> None:
        """Lets calls that are paid for come back, before a spent budget ends all that waits."""
        self._stopping.add(key)
        others = [flight for k, flight in self._flights.items() if k not in self._stopping]
        try:
            if others:
                await asyncio.wait(others, timeout=SETTLE_S)
        finally:
            self._stopping.discard(key)

    def _keep(self, key: str, data: bytes) -> None:
        self._known[key] = data
        self._num_bytes += len(data)
        while self._mode == "off" and self._num_bytes > UNRECORDED_BYTES:
            _, dropped = self._known.popitem(last=False)
            self._num_bytes -= len(dropped)

    def _use_recorded(self, key: str) -> None:
        """Takes an answer of the source over into this stage's own record, free of charge."""
        answer = self._recorded.pop(key, None)
        if answer is not None:
            response = zlib.decompress(self._known[key]).decode("ascii")
            with self._lock:
                self._new.append(replace(answer, response=response))

    def _landed(self, key: str, flight: asyncio.Future[Any]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            # Where all callers have left, nobody else would look at it.
            flight.exception()


def _packed(response: str) -> bytes:
    return zlib.compress(response.encode("ascii"), 1)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _before(seconds: float) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds")
