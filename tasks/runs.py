"""Records of runs and of their stages: what ran, when, for how long, and what it made.

Records are small JSON documents beside the artifacts, rewritten as a run goes on. They are for
people and for the SQL views; whether a stage is done is decided by its manifests alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from agents.errors import StoreError, UsageError
from evaluation.gate import GateDecision
from tasks.manifest import ArtifactRef
from tasks.storage.objects import ObjectStore

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def utc_now() -> str:
    """The present moment as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """A policy that a run measured.

    Attributes:
        name: `base`, `cold start`, `iteration 1`, ….
        iteration: The iteration that produced it; 0 before the first.
        digest: Digest of its weights.
        promoted: Whether the run went on from it.
        forced: Whether it was promoted against the gate (`--force-promote`).
        compared_with: Digest of the policy that it was compared with; empty: with none.
        gate: What the gate decided; None where it was not asked.
    """

    name: str
    iteration: int
    digest: str
    promoted: bool
    forced: bool = False
    compared_with: str = ""
    gate: GateDecision | None = None


@dataclass(frozen=True, slots=True)
class ForcedPromotion:
    """A policy that `--force-promote` promoted; a run that is started again keeps to it.

    Attributes:
        iteration: The iteration that produced it.
        digest: Digest of its weights.
        reason: Why the gate had not promoted it.
        forced_at: When, ISO 8601 in UTC.
    """

    iteration: int
    digest: str
    reason: str
    forced_at: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run.

    Attributes:
        run: Its name.
        profile: The profile it was started with.
        seed: Its seed.
        status: `running`, `done`, `failed` or `stopped`.
        started_at: When it was first started, ISO 8601 in UTC.
        config: Its whole configuration, JSON values.
        wall_s: Seconds it has taken, over all its starts.
        policies: Policies it has measured, in order.
        forced: What was promoted against the gate, over all its starts.
        error: Why it failed, empty where it did not.
    """

    run: str
    profile: str
    seed: int
    status: str
    started_at: str
    config: Mapping[str, Any] = field(default_factory=dict)
    wall_s: float = 0.0
    policies: tuple[PolicyEntry, ...] = ()
    forced: tuple[ForcedPromotion, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One stage of a run.

    Attributes:
        run: Name of the run.
        iteration: Iteration, 0 before the first.
        stage: Name of the stage.
        key: Its key; see `tasks.stage_cache`.
        status: `running`, `done`, `failed` or `stopped`.
        subject: What it worked on, where an iteration has the stage more than once
            (`base`, `cold start`).
        artifacts: What it made, or found made already.
        reused: Whether everything was there already.
        wall_s: Seconds it took.
        started_at: When it started, ISO 8601 in UTC.
        error: Why it failed, empty where it did not.
        metrics: Numbers worth showing, by name.
    """

    run: str
    iteration: int
    stage: str
    key: str
    status: str
    subject: str = ""
    artifacts: tuple[ArtifactRef, ...] = ()
    reused: bool = False
    wall_s: float = 0.0
    started_at: str = ""
    error: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where the record lies in the store."""
        parts = [str(self.iteration), self.stage]
        if self.subject:
            parts.append(re.sub(r"[^A-Za-z0-9]+", "_", self.subject))
        return f"runs/{self.run}/stages/{'-'.join(parts)}.json"


def decision_of(entry: PolicyEntry) -> dict[str, Any]:
    """What documents of a run say of a policy, beside its scores."""
    return {
        "name": entry.name,
        "iteration": entry.iteration,
        "policy": entry.digest,
        "promoted": entry.promoted,
        "forced": entry.forced,
        "compared_with": entry.compared_with or None,
        "gate": asdict(entry.gate) if entry.gate else None,
    }


class RunLog:
    """The records of all runs of a store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    @staticmethod
    def is_name(name: str) -> bool:
        """Whether a text can name a run."""
        return _NAME.fullmatch(name) is not None

    def save_run(self, record: RunRecord) -> None:
        """Writes a run's record, in place of the one before.

        Raises:
            UsageError: The name cannot name a run.
            StoreError: It could not be written.
        """
        if not self.is_name(record.run):
            raise UsageError(
                f"run name {record.run!r}: expected letters, digits, '.', '_' and '-', at most 80"
            )
        self._put(f"runs/{record.run}/run.json", record)

    def run(self, name: str) -> RunRecord | None:
        """The record of a run, None where there is no such run.

        Raises:
            StoreError: It cannot be read.
        """
        path = f"runs/{name}/run.json"
        data = self._objects.get(path)
        return None if data is None else run_record_of(data, path)

    def runs(self) -> list[RunRecord]:
        """All runs, the oldest first."""
        paths = [path for path in self._objects.paths("runs") if path.endswith("/run.json")]
        found = [run_record_of(data, path) for path, data in self._read(paths)]
        return sorted(found, key=lambda record: (record.started_at, record.run))

    def save_stage(self, record: StageRecord) -> None:
        """Writes a stage's record, in place of the one before.

        Raises:
            StoreError: It could not be written.
        """
        self._put(record.path, record)

    def stages(self, run: str | None = None) -> list[StageRecord]:
        """The stages of one run, or of all, in the order they started."""
        paths = self._objects.paths("runs" if run is None else f"runs/{run}")
        paths = [path for path in paths if "/stages/" in path]
        found = [stage_record_of(data, path) for path, data in self._read(paths)]
        return sorted(found, key=lambda record: (record.started_at, record.path))

    def _read(self, paths: list[str]) -> list[tuple[str, bytes]]:
        read = zip(paths, self._objects.get_many(paths), strict=True)
        return [(path, data) for path, data in read if data is not None]

    def _put(self, path: str, record: RunRecord | StageRecord) -> None:
        self._objects.put(path, json.dumps(asdict(record), indent=1, sort_keys=True).encode())


def run_record_of(data: bytes, path: str) -> RunRecord:
    """Reads a run's record.

    Raises:
        StoreError: It is damaged.
    """
    try:
        value = json.loads(data)
        value["policies"] = tuple(policy_entry_of(entry) for entry in value["policies"])
        # Records of earlier versions know of none.
        value["forced"] = tuple(ForcedPromotion(**each) for each in value.get("forced", ()))
        return RunRecord(**value)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"record {path} is damaged: {error}") from error


def policy_entry_of(value: Mapping[str, Any]) -> PolicyEntry:
    """Reads a policy's entry in a record."""
    gate = value.get("gate")
    return PolicyEntry(**{**value, "gate": GateDecision(**gate) if gate else None})


def stage_record_of(data: bytes, path: str) -> StageRecord:
    """Reads a stage's record.

    Raises:
        StoreError: It is damaged.
    """
    try:
        value = json.loads(data)
        value["artifacts"] = tuple(ArtifactRef.from_json(ref) for ref in value["artifacts"])
        return StageRecord(**value)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"record {path} is damaged: {error}") from error
