"""Sentinels that tripped, as records of a run: what was seen, and where the training went back to.

One small JSON document each, below `runs/<run>/trips`; none is ever changed, so that a stage that
was stopped and went on still says so.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from agents.errors import StoreError
from tasks.config import StageContext
from tasks.runs import utc_now
from tasks.storage.objects import ObjectStore
from training.sentinels import Trip


@dataclass(frozen=True, slots=True)
class TripRecord:
    """A sentinel that tripped.

    Attributes:
        run: Name of the run.
        iteration: Iteration, 0 before the first.
        stage: `sft` or `rl`.
        subject: What the stage worked on, where an iteration has it more than once.
        key: Its key.
        tripped_at: When, ISO 8601 in UTC.
        sentinel: The sentinel's setting in `sentinels`.
        figure: The figure that it watches.
        value: The figure's mean over the window.
        bound: What the mean was compared with.
        threshold: The setting; None where it is a switch.
        first_step: First step of the window.
        step: Last step of the window.
        back_to_step: Step of the checkpoint that the training went back to; 0: its beginning.
        message: All of it in one line, with what to do.
    """

    run: str
    iteration: int
    stage: str
    subject: str
    key: str
    tripped_at: str
    sentinel: str
    figure: str
    value: float
    bound: float
    threshold: float | None
    first_step: int
    step: int
    back_to_step: int
    message: str


def trip_record(
    trip: Trip, context: StageContext, stage: str, key: str, back_to_step: int
) -> TripRecord:
    """The record of a trip.

    Args:
        trip: What tripped.
        context: Which stage of which run it stopped.
        stage: Name of the stage.
        key: Its key.
        back_to_step: Step of the checkpoint that is left; 0: none is.
    """
    back = f"the checkpoint of step {back_to_step}" if back_to_step else "its beginning"
    off = "false" if trip.threshold is None else "null"
    message = (
        f"{trip}; {stage} went back to {back}, from which the same command goes on: give another "
        f"threshold, or none with --set sentinels.{trip.sentinel}={off}; where training itself is "
        "to be changed (a lower learning rate), the stage begins anew"
    )
    return TripRecord(
        run=context.run,
        iteration=context.iteration,
        stage=stage,
        subject=context.subject,
        key=key,
        tripped_at=utc_now(),
        **asdict(trip),
        back_to_step=back_to_step,
        message=message,
    )


class TripLog:
    """The trips of all runs of a store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def save(self, record: TripRecord) -> None:
        """Adds a trip.

        Raises:
            StoreError: It could not be written.
        """
        moment = re.sub(r"[^0-9]", "", record.tripped_at)[:17]
        # The random part keeps two trips of one moment apart.
        name = f"{moment}-{record.iteration}-{record.stage}-{uuid.uuid4().hex[:8]}"
        data = json.dumps(asdict(record), indent=1, sort_keys=True).encode()
        self._objects.put_new(f"runs/{record.run}/trips/{name}.json", data)

    def trips(self, run: str | None = None) -> list[TripRecord]:
        """The trips of one run, or of all, in the order they happened.

        Raises:
            StoreError: A record is damaged.
        """
        paths = self._objects.paths("runs" if run is None else f"runs/{run}")
        paths = [path for path in paths if "/trips/" in path]
        read = zip(paths, self._objects.get_many(paths), strict=True)
        found = [trip_record_of(data, path) for path, data in read if data is not None]
        return sorted(found, key=lambda trip: (trip.tripped_at, trip.run))


def trip_record_of(data: bytes, path: str) -> TripRecord:
    """Reads the record of a trip.

    Raises:
        StoreError: It is damaged.
    """
    try:
        value: dict[str, Any] = json.loads(data)
        return TripRecord(**value)
    except (ValueError, TypeError) as error:
        raise StoreError(f"record {path} is damaged: {error}") from error
