"""Leases on stage keys: one process works on a stage at a time, and a restart races no orphan.

A lease is a record under `leases/<stage key>/<generation>.json`, made by put-if-absent; the
highest generation is the lease, and taking over means making the next one, so of two that take
over at once one wins, on object storage too, which has no rename. The owner renews its record by
writing it anew. A record stays when its lease is given back, marked as released: a generation is
never used twice, so an owner that was away for long cannot come back under a number that has
since become another's.

A lease is free when it was released, or its owner is dead. On the owner's own machine that is
seen at once, from process ids and start times; all processes of the record must be gone, which
is how a child that is still dying is waited for. On any other machine the owner counts as dead
when its record has not changed for `EXPIRY_S`, by the watcher's own clock.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from agents.errors import StageError, StoreError
from agents.progress import progress
from tasks.heavy.processes import ProcessRef, is_alive, process_of, this_machine
from tasks.parts import stage_key_of
from tasks.runs import utc_now
from tasks.storage.objects import ObjectStore

EXPIRY_S = 60.0
"""Seconds without renewal after which an owner on another machine counts as dead."""
RENEW_S = 10.0
"""Seconds between renewals."""

LONG_AGO_S = 900.0
"""A record this old needs no watching: no two clocks differ by so much."""
_POLL_S = 0.1
_POLL_AFAR_S = 1.0

logger = logging.getLogger(__name__)


class LeaseLostError(StageError):
    """Another process has taken over the stage."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What a lease says of its owner.

    Attributes:
        machine: Where the owner runs.
        nonce: Tells this lease from every other.
        processes: The owner, then processes that it started for the stage.
        run: Name of the owner's run.
        renewed_at: When it was last renewed, ISO 8601 in UTC.
        renewals: How often it was.
        released: Whether it was given back.
    """

    machine: str
    nonce: str
    processes: tuple[ProcessRef, ...]
    run: str
    renewed_at: str
    renewals: int = 0
    released: bool = False

    def to_bytes(self) -> bytes:
        """The record as a JSON document."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes, path: str) -> LeaseRecord:
        """Reads what `to_bytes` wrote.

        Raises:
            StoreError: It is damaged.
        """
        try:
            value = json.loads(data)
            value["processes"] = tuple(ProcessRef(**each) for each in value["processes"])
            return cls(**value)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"lease {path} is damaged: remove it once nothing works on its stage"
            ) from error

    @property
    def owner(self) -> str:
        """The owner in a few words."""
        return f"run {self.run}, process {self.processes[0].pid} on {self.machine.split('/')[0]}"

    @property
    def age_s(self) -> float:
        """Seconds since it was renewed, as far as two clocks agree."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.renewed_at)).total_seconds()


class Lease:
    """A stage key that this process holds; it renews itself until it is released.

    Attributes:
        key: The stage key, or a part of it.
        stage_key: The stage key.
    """

    def __init__(
        self, objects: ObjectStore, key: str, generation: int, record: LeaseRecord
    ) -> None:
        self.key = key
        self.stage_key = stage_key_of(key)
        self._objects = objects
        self._generation = generation
        self._record = record
        self._lock = threading.Lock()
        self._renewed = time.monotonic()
        self._lost = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease {key}", daemon=True)
        self._thread.start()

    def include(self, pid: int) -> None:
        """Adds a process that must be gone before anyone takes over.

        Raises:
            LeaseLostError: Another process has taken over already.
            StoreError: The record could not be written.
        """
        process = process_of(pid)
        if process is not None and process not in self._record.processes:
            with self._lock:
                self._record = replace(self._record, processes=(*self._record.processes, process))
            self.renew()
        self.check()

    def renew(self) -> None:
        """Writes the record anew, unless another process has taken over.

        Raises:
            StoreError: The store could not be read or written.
        """
        with self._lock:
            if self._lost or self._record.released:
                return
            newest = _newest_path(self._objects, self.key)
            if newest != _path(self.key, self._generation):
                self._lost = "another process has taken it over"
                return
            self._record = replace(
                self._record, renewed_at=utc_now(), renewals=self._record.renewals + 1
            )
            self._objects.put(newest, self._record.to_bytes())
            self._renewed = time.monotonic()

    def check(self) -> None:
        """Makes sure that the lease is still held.

        Raises:
            LeaseLostError: It is not.
        """
        if self._lost:
            raise LeaseLostError(
                f"lost the lease on {self.key}: {self._lost}; the same command goes on "
                "once that process is done"
            )

    def release(self) -> None:
        """Gives the lease back; where the store fails, it is free when this process has ended."""
        self._over.set()
        self._thread.join()
        with self._lock:
            if self._lost:
                return
            self._record = replace(self._record, released=True, renewed_at=utc_now())
            try:
                self._objects.put(_path(self.key, self._generation), self._record.to_bytes())
            except StoreError as error:
                logger.warning("the lease on %s could not be released: %s", self.key, error)

    def _keep(self) -> None:
        while not self._over.wait(RENEW_S):
            try:
                self.renew()
            except StoreError as error:
                if time.monotonic() - self._renewed > EXPIRY_S:
                    self._lost = f"it could not be renewed for {EXPIRY_S:.0f} s ({error})"
            if self._lost:
                return


@contextmanager
def leased(
    objects: ObjectStore, key: str, run: str, is_done: Callable[[], bool], what: str = ""
) -> Iterator[Lease | None]:
    """Holds the lease on a stage key for the duration of a block, after waiting for it.

    Args:
        objects: The store.
        key: The stage key.
        run: Name of this process's run, for others that wait.
        is_done: Whether the stage's artifacts stand; asked while another process works on them.
        what: What is worked on, for those who wait; empty: the stage that the key names.

    Yields:
        The lease; None where another process has finished the stage instead.

    Raises:
        StoreError: The store could not be read or written.
    """
    lease = _acquire(objects, key, run, is_done, what or stage_key_of(key).rpartition("-")[0])
    try:
        yield lease
    finally:
        if lease is not None:
            lease.release()


def is_held(objects: ObjectStore, key: str) -> bool:
    """Whether a process that may be alive holds the lease on a stage key."""
    record = newest_lease(objects, key)
    return record is not None and not _Watch().is_free(record)


def newest_lease(objects: ObjectStore, key: str) -> LeaseRecord | None:
    """The lease on a key as it was last written, held or not; None where there never was one.

    Raises:
        StoreError: It cannot be read, or is damaged.
    """
    path = _newest_path(objects, key)
    data = objects.get(path) if path else None
    return None if data is None else LeaseRecord.from_bytes(data, path)


def _acquire(
    objects: ObjectStore, key: str, run: str, is_done: Callable[[], bool], what: str
) -> Lease | None:
    if (lease := _try(objects, key, run, watch := _Watch())) is not None:
        return lease
    with progress(f"Waiting for {watch.owner}, which works on {what}", unit="s") as bar:
        started = time.monotonic()
        while not is_done():
            if (lease := _try(objects, key, run, watch)) is not None:
                return lease
            bar.update(int(time.monotonic() - started))
            time.sleep(_POLL_S if watch.is_near else _POLL_AFAR_S)
    return None


def _try(objects: ObjectStore, key: str, run: str, watch: _Watch) -> Lease | None:
    """Takes the lease where it is free."""
    newest = _newest_path(objects, key)
    if newest:
        data = objects.get(newest)
        # Gone since it was listed: a newer one has come, and is looked at next time.
        if data is None or not watch.is_free(LeaseRecord.from_bytes(data, newest)):
            return None
    owner = process_of(os.getpid())
    assert owner is not None
    record = LeaseRecord(this_machine(), uuid.uuid4().hex, (owner,), run, utc_now())
    generation = _generation(newest) + 1
    path = _path(key, generation)
    if not objects.put_new(path, record.to_bytes()):
        return None
    paths = objects.paths(f"leases/{key}")
    if paths[-1] != path:
        # Since the list was read, others have come and gone and this number was cleared away.
        objects.delete([path])
        return None
    objects.delete(paths[:-1])
    return Lease(objects, key, generation, record)


class _Watch:
    """Decides whether the lease under watch is free.

    Attributes:
        owner: Who held it when it was last looked at, in words.
        is_near: Whether that owner is on this machine.
    """

    def __init__(self) -> None:
        self.owner = "another process"
        self.is_near = False
        self._seen: LeaseRecord | None = None
        self._since = 0.0

    def is_free(self, record: LeaseRecord) -> bool:
        """Whether a lease with this record may be taken over."""
        self.owner = record.owner
        self.is_near = record.machine == this_machine()
        if record != self._seen:
            self._seen, self._since = record, time.monotonic()
        if record.released:
            return True
        if self.is_near:
            return not any(map(is_alive, record.processes))
        return record.age_s > LONG_AGO_S or time.monotonic() - self._since > EXPIRY_S


def _path(key: str, generation: int) -> str:
    return f"leases/{key}/{generation:08d}.json"


def _generation(path: str) -> int:
    return int(path.rpartition("/")[2].removesuffix(".json")) if path else 0


def _newest_path(objects: ObjectStore, key: str) -> str:
    return max(objects.paths(f"leases/{key}"), default="")
