"""Which session's keys and values lie in which slot, and what of them a new one can reuse.

A session keeps its slot between turns, so that only what is new is ever computed. A released
slot keeps its content until it is needed: prompts that begin alike (the same instructions, the
same question) copy that beginning instead of computing it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agents.engines.cache import KeyValuePool, ParkedKeysValues

MIN_WORTH_WAITING_TOKENS = 16
"""A prompt waits for another one's common beginning only if it is at least this long."""

Ids = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Slot:
    """One session's place in the pool.

    Attributes:
        index: Its number.
        ids: (max tokens,) ids, computed and planned.
        planned: How many ids are known.
        computed: How many of them have keys and values.
        aligned: How many of these were computed in whole chunks from position 0.
        session: Whose it is; None where free.
        busy: Whether its session is generating.
        last_used: Clock of its last use; 0 where never used.
    """

    index: int
    ids: Ids
    planned: int = 0
    computed: int = 0
    aligned: int = 0
    session: str | None = None
    busy: bool = False
    last_used: int = 0

    def common(self, ids: Ids, limit: int) -> int:
        """Length of the common beginning of `ids` and this slot's, at most `limit`."""
        count = min(self.planned, limit)
        differ = np.flatnonzero(self.ids[:count] != ids[:count])
        return int(differ[0]) if len(differ) else count


@dataclass(slots=True)
class _Parked:
    """A session out of the pool."""

    ids: Ids
    computed: int
    aligned: int
    blocks: ParkedKeysValues


@dataclass(slots=True)
class SlotTable:
    """All slots.

    Args:
        pool: Where keys and values lie.
        max_tokens: Most tokens of one session.
        chunk_tokens: With a number, only whole chunks of it are shared between sessions: what
            was computed in other pieces differs in its last bits. None shares any beginning.
    """

    pool: KeyValuePool
    max_tokens: int
    chunk_tokens: int | None
    slots: list[Slot] = field(init=False)
    _by_session: dict[str, Slot] = field(default_factory=dict)
    _parked: dict[str, _Parked] = field(default_factory=dict)
    _clock: int = 0

    def __post_init__(self) -> None:
        """Makes empty slots."""
        self.slots = [
            Slot(index, np.zeros(self.max_tokens, dtype=np.int64))
            for index in range(self.pool.num_slots)
        ]

    def admit(self, session: str, ids: Ids) -> Slot | None:
        """Gives a session its slot, with as much of `ids` computed as can be reused.

        At least the last id is left to compute.

        Returns:
            The slot, marked busy; None where the session must wait, for a slot or for another
            session that is just computing the same beginning.
        """
        limit = len(ids) - 1
        slot = self._by_session.get(session)
        if slot is not None:
            slot.computed = min(slot.computed, slot.common(ids, limit))
            slot.aligned = min(slot.aligned, slot.computed)
        elif session in self._parked:
            slot = self._free_slot(ids, limit, reuse=0)
            if slot is None:
                return None
            self._unpark(session, slot)
            slot.computed = min(slot.computed, slot.common(ids, limit))
            slot.aligned = min(slot.aligned, slot.computed)
        else:
            donor, reuse, soon = self._best_donor(ids, limit)
            if soon >= reuse + MIN_WORTH_WAITING_TOKENS:
                return None
            slot = self._free_slot(ids, limit, reuse)
            if slot is None:
                return None
            if donor is not None and donor is not slot and self._reusable(slot, ids, limit) < reuse:
                self.pool.copy_prefix(donor.index, slot.index, reuse)
            slot.computed = slot.aligned = reuse
        slot.ids[: len(ids)] = ids
        slot.planned = len(ids)
        slot.busy = True
        self._own(session, slot)
        return slot

    def append(self, slot: Slot, token_id: int) -> None:
        """Adds a sampled id to a slot; the one before it has just been computed."""
        slot.computed += 1
        slot.ids[slot.planned] = token_id
        slot.planned += 1

    def advance(self, slot: Slot, num_tokens: int) -> None:
        """Notes that a slot's next ids have been computed by prefilling."""
        chunk = self.chunk_tokens
        if chunk is None or (slot.aligned == slot.computed and num_tokens == chunk):
            slot.aligned = slot.computed + num_tokens
        slot.computed += num_tokens

    def rest(self, slot: Slot) -> None:
        """Marks the end of a generation: the slot stays its session's."""
        slot.busy = False
        slot.planned = slot.computed
        self._touch(slot)

    def release(self, session: str) -> None:
        """Frees what a session holds; its content may still serve as a beginning."""
        self._parked.pop(session, None)
        slot = self._by_session.pop(session, None)
        if slot is not None:
            slot.session = None
            slot.busy = False
            slot.planned = slot.computed

    def forget(self) -> None:
        """Forgets everything that was computed, as under new weights."""
        self._parked.clear()
        self._by_session.clear()
        for slot in self.slots:
            slot.planned = slot.computed = slot.aligned = slot.last_used = 0
            slot.session, slot.busy = None, False

    def _reusable(self, slot: Slot, ids: Ids, limit: int) -> int:
        """Beginning of `ids` whose keys and values another session may take from `slot`."""
        if self.chunk_tokens is None:
            return min(slot.common(ids, limit), slot.computed)
        common = min(slot.common(ids, limit), slot.aligned)
        return common - common % self.chunk_tokens

    def _best_donor(self, ids: Ids, limit: int) -> tuple[Slot | None, int, int]:
        """The slot with the longest reusable beginning, its length, and the longest to come."""
        donor, reuse, soon = None, 0, 0
        for slot in self.slots:
            if not slot.planned:
                continue
            now = self._reusable(slot, ids, limit)
            if now > reuse:
                donor, reuse = slot, now
            if slot.busy and slot.computed < slot.planned - 1:
                coming = min(slot.common(ids, limit), slot.planned - 1)
                if self.chunk_tokens is not None:
                    coming -= coming % self.chunk_tokens
                soon = max(soon, coming)
        return donor, reuse, soon

    def _free_slot(self, ids: Ids, limit: int, reuse: int) -> Slot | None:
        """A free slot, best one that holds the beginning already; else one whose owner idles."""
        free = [slot for slot in self.slots if slot.session is None]
        if free:
            holding = [slot for slot in free if reuse and self._reusable(slot, ids, limit) >= reuse]
            return min(holding or free, key=lambda slot: (slot.last_used, slot.index))
        idle = [slot for slot in self.slots if not slot.busy]
        if not idle:
            return None
        slot = min(idle, key=lambda slot: (slot.last_used, slot.index))
        self._park(slot)
        return slot

    def _park(self, slot: Slot) -> None:
        assert slot.session is not None
        self._parked[slot.session] = _Parked(
            slot.ids[: slot.computed].copy(),
            slot.computed,
            slot.aligned,
            self.pool.park(slot.index, slot.computed),
        )
        del self._by_session[slot.session]
        slot.session = None

    def _unpark(self, session: str, slot: Slot) -> None:
        parked = self._parked.pop(session)
        self.pool.restore(slot.index, parked.blocks)
        slot.ids[: parked.computed] = parked.ids
        slot.planned = slot.computed = parked.computed
        slot.aligned = parked.aligned

    def _own(self, session: str, slot: Slot) -> None:
        slot.session = session
        self._by_session[session] = slot
        self._touch(slot)

    def _touch(self, slot: Slot) -> None:
        self._clock += 1
        slot.last_used = self._clock


def as_ids(token_ids: Sequence[int]) -> Ids:
    """Token ids as an array."""
    return np.asarray(token_ids, dtype=np.int64)
