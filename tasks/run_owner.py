"""Who works on a run: a lease of the run's own, beside those of its stages.

A stage's lease says nothing between two stages, nor while a stage waits for a worker. This one is
held by the process that runs the loop, from its first stage to its last, so that two starts of the
same run follow one another, and whoever looks into the store sees whether a run is at work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.heavy.processes import is_alive, this_machine
from tasks.leases import EXPIRY_S, LeaseRecord, leased, newest_lease
from tasks.storage.objects import ObjectStore

_RUN = "run-"
"""Begins the key of a run's lease; that of a stage begins with its name, and none is called so."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lease, or held it last without giving it back.

    Attributes:
        machine: Name of its host.
        pid: Its process id there.
        alive: Whether it lives; from another machine, whether it has renewed the lease in the
            last minute, as far as two clocks agree.
        renewed_at: When it last did, ISO 8601 in UTC.
    """

    machine: str
    pid: int
    alive: bool
    renewed_at: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine}"


@contextmanager
def working_on(objects: ObjectStore, run: str) -> Iterator[None]:
    """Holds a run's lease for the duration of a block, after waiting for whoever holds it.

    Raises:
        StoreError: The store could not be read or written.
    """
    with leased(objects, _key(run), run, lambda: False, what="the same run"):
        yield


def owner_of_run(objects: ObjectStore, run: str) -> Owner | None:
    """Who works on a run, or did when it was killed; None where its last start ended by itself.

    Raises:
        StoreError: The store could not be read.
    """
    return _owner(newest_lease(objects, _key(run)))


def owner_of_stage(objects: ObjectStore, key: str) -> Owner | None:
    """Who works on a stage, or did when it was killed; None where the lease was given back.

    Raises:
        StoreError: The store could not be read.
    """
    return _owner(newest_lease(objects, key)) if key else None


def run_of(key: str) -> str:
    """The run whose lease a key is; empty for the lease of a stage."""
    return key.removeprefix(_RUN) if key.startswith(_RUN) else ""


def _key(run: str) -> str:
    return f"{_RUN}{run}"


def _owner(record: LeaseRecord | None) -> Owner | None:
    if record is None or record.released:
        return None
    if record.machine == this_machine():
        alive = any(map(is_alive, record.processes))
    else:
        alive = record.age_s <= EXPIRY_S
    return Owner(record.machine.split("/")[0], record.processes[0].pid, alive, record.renewed_at)
