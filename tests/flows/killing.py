"""Kills `evolvesearch run` with SIGKILL at chosen moments, and starts the same command again.

A moment is an event in the store (a stage begins, a shard or a checkpoint appears, a stage is
done) and a short, seeded delay after it. One run is killed many times in succession, so that a
long row of kills costs little more than the run itself and its starts.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

_MARK = "EVOLVESEARCH_TEST_MARK"
_COMMAND = "import sys; from deployments.cli.main import execute; sys.exit(execute(sys.argv[1:]))"
_POLL_S = 0.004
_DEATH_S = 30.0
_ATTEMPT_S = 240.0

Stage = tuple[int, str, str]
"""Iteration, stage and subject of a stage's record."""


@dataclass(frozen=True)
class Moment:
    """When to kill.

    Attributes:
        stage: The stage to kill in, or after.
        event: `begins`; `shard`: finished trajectories are written; `writing`: a checkpoint's
            files are being written; `checkpoint`: it is there; `epoch`: so is one at the end of an
            epoch; `done`: the stage is done.
        delay_s: Seconds to wait after the event.
    """

    stage: Stage
    event: str
    delay_s: float = 0.0

    def __str__(self) -> str:
        iteration, stage, subject = self.stage
        name = " ".join(filter(None, (stage, subject or str(iteration or ""))))
        return f"{name}: {self.event} + {self.delay_s:.2f} s"


class StoreView:
    """What a run has written so far, read as files, fast enough to be asked many times a second."""

    def __init__(self, store: Path, run: str) -> None:
        self.store = store
        self._stages = store / "runs" / run / "stages"

    def records(self) -> dict[Stage, dict[str, Any]]:
        """The records of the run's stages."""
        found = {}
        for path in self._stages.glob("*.json"):
            record = json.loads(path.read_bytes())
            found[record["iteration"], record["stage"], record["subject"]] = record
        return found

    def shards(self, key: str) -> set[str]:
        """Names of the shards of finished trajectories of a stage at work."""
        return {str(path) for path in self._shards(self.store / "partial" / key)}

    @staticmethod
    def _shards(folder: Path) -> list[Path]:
        # Beside those of trajectories lie those of the pages that they saw, and training's steps.
        others = {"pages", "steps"}
        return [path for path in folder.rglob("*.parquet") if path.parent.name not in others]

    def checkpoints(self, key: str) -> dict[str, int]:
        """Steps of a stage's checkpoints by name, those without a record included."""
        folder = self.store / "partial" / key / "checkpoints"
        return {path.name: int(path.name[:8]) for path in folder.glob("*-*")}

    def trajectories(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Rows of all shards that lie there, by stage key and trajectory."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for path in self._shards(self.store / "partial"):
            key = path.relative_to(self.store / "partial").parts[0]
            rows = pq.read_table(path, columns=["trajectory_id", "token_ids", "wall_s"])
            for row in rows.to_pylist():
                found.setdefault(key, {})[row["trajectory_id"]] = row
        return found


class _Trigger:
    """Tells when a moment has come, seen from the state in which the attempt began."""

    def __init__(
        self, view: StoreView, moment: Moment, steps_per_epoch: Mapping[Stage, int]
    ) -> None:
        self._view = view
        self._moment = moment
        self._steps_per_epoch = steps_per_epoch
        before = view.records().get(moment.stage)
        self._started_at = before["started_at"] if before else ""
        key = before["key"] if before else ""
        self._shards = view.shards(key) if key else set()
        self._checkpoints = set(view.checkpoints(key)) if key else set()

    def state(self) -> str:
        """`waiting`, `now`, or `missed` where the stage ended without it."""
        record = self._view.records().get(self._moment.stage)
        if record is None or record["started_at"] == self._started_at:
            done = record is not None and record["status"] == "done"
            return "missed" if done else "waiting"
        if self._has_come(record):
            return "now"
        return "missed" if record["status"] == "done" else "waiting"

    def _has_come(self, record: Mapping[str, Any]) -> bool:
        event, key = self._moment.event, record["key"]
        if event == "begins":
            return True
        if event == "done":
            return record["status"] == "done"
        if event == "shard":
            return bool(self._view.shards(key) - self._shards)
        new = {
            name: step
            for name, step in self._view.checkpoints(key).items()
            if name not in self._checkpoints
        }
        complete = {step for name, step in new.items() if name.endswith(".json")}
        if event == "writing":
            # Of checkpoints that were removed, empty folders may be left.
            return max(new.values(), default=0) > max(
                (step for name, step in self._view.checkpoints(key).items() if ".json" in name),
                default=0,
            )
        if event == "epoch":
            return any(step % self._steps_per_epoch[self._moment.stage] == 0 for step in complete)
        return bool(complete)


@dataclass
class Outcome:
    """What a row of kills came to.

    Attributes:
        document: What the last, unkilled start printed.
        kills: Number of kills by what they hit.
        moments: The moments that came, in order.
        missed: Moments that did not come, because the stage was done before.
        finished: Rows that lay in shards when the run was killed, by stage key and trajectory.
        start_s: Seconds from each start to its kill.
        death_s: Longest time that any process of a killed start lived on.
    """

    document: dict[str, Any] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    moments: list[Moment] = field(default_factory=list)
    missed: list[Moment] = field(default_factory=list)
    finished: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    start_s: list[float] = field(default_factory=list)
    death_s: float = 0.0


class KilledRun:
    """One run that is started, killed and started again.

    Args:
        store: Its store.
        name: Its name.
        arguments: What else the command is told.
        home: Folder of the runs' own Prefect servers.
        api_url: A Prefect server that outlives the kills; a start without one has its own.
        own_server_every: Every so many starts go without it.
    """

    def __init__(
        self,
        store: Path,
        name: str,
        arguments: Sequence[str],
        home: Path,
        api_url: str,
        own_server_every: int,
    ) -> None:
        self.view = StoreView(store, name)
        self._command = [
            *(sys.executable, "-c", _COMMAND, "run", "--json"),
            *("--store", str(store), "--name", name, *arguments),
        ]
        self._mark = uuid.uuid4().hex
        self._home = home
        self._api_url = api_url
        self._own_server_every = own_server_every
        self._num_starts = 0

    def kill_at(self, moments: Sequence[Moment], steps_per_epoch: Mapping[Stage, int]) -> Outcome:
        """Kills at each moment in turn, then lets the run end."""
        outcome = Outcome()
        waiting = list(moments)
        while waiting:
            started = time.monotonic()
            process = self._start()
            moment = self._wait_for(process, waiting, steps_per_epoch, outcome)
            if moment is None:
                # The run came to its end before the last moments.
                self._finish(process, outcome)
                return outcome
            outcome.start_s.append(time.monotonic() - started)
            outcome.death_s = max(outcome.death_s, self._kill(process))
            outcome.moments.append(moment)
            outcome.kills[self._hit(moment)] += 1
            for key, rows in self.view.trajectories().items():
                outcome.finished.setdefault(key, {}).update(rows)
        self._finish(self._start(), outcome)
        return outcome

    def _start(self) -> subprocess.Popen[bytes]:
        own_server = self._num_starts % self._own_server_every == 0
        self._num_starts += 1
        clean = {name: value for name, value in os.environ.items() if "PREFECT" not in name}
        prefect = {} if own_server else {"PREFECT_API_URL": self._api_url}
        return subprocess.Popen(
            self._command,
            env={**clean, "PREFECT_HOME": str(self._home), _MARK: self._mark, **prefect},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def _wait_for(
        self,
        process: subprocess.Popen[bytes],
        waiting: list[Moment],
        steps_per_epoch: Mapping[Stage, int],
        outcome: Outcome,
    ) -> Moment | None:
        """Waits for the first moment that comes and takes it out; None where the run ended."""
        until = time.monotonic() + _ATTEMPT_S
        while waiting:
            moment = waiting.pop(0)
            trigger = _Trigger(self.view, moment, steps_per_epoch)
            while (state := trigger.state()) == "waiting":
                if process.poll() is not None:
                    outcome.missed += [moment, *waiting]
                    waiting.clear()
                    return None
                assert time.monotonic() < until, f"{moment} did not come"
                time.sleep(_POLL_S)
            if state == "now":
                time.sleep(moment.delay_s)
                return moment
            outcome.missed.append(moment)
        return None

    def _kill(self, process: subprocess.Popen[bytes]) -> float:
        """Kills the command alone; returns the seconds that the last of its children lived on."""
        assert process.poll() is None, process.communicate()[1].decode()
        os.kill(process.pid, signal.SIGKILL)
        killed = time.monotonic()
        process.wait()
        self._wait_for_children()
        process.communicate()
        return time.monotonic() - killed

    def _wait_for_children(self) -> None:
        since = time.monotonic()
        while left := list(self.processes()):
            assert time.monotonic() - since < _DEATH_S, f"these outlive their parent: {left}"
            time.sleep(0.02)

    def _finish(self, process: subprocess.Popen[bytes], outcome: Outcome) -> None:
        out, err = process.communicate(timeout=_ATTEMPT_S)
        assert process.returncode == 0, err.decode()
        outcome.document = json.loads(out)
        self._wait_for_children()

    def _hit(self, moment: Moment) -> str:
        """What the kill hit, by the records that it left."""
        running = [r for r in self.view.records().values() if r["status"] == "running"]
        if not running:
            return "between stages"
        stage = running[0]["stage"]
        if moment.event in ("writing", "checkpoint", "epoch") and stage == moment.stage[1]:
            where = {"writing": "in the midst of a checkpoint", "epoch": "at the epoch's end"}
            after = "in a step" if moment.delay_s else "at a checkpoint"
            return f"{stage}, {where.get(moment.event, after)}"
        return str(stage)

    def processes(self) -> Iterator[int]:
        """Ids of all processes that any start of the run has left, however far from it."""
        mark = f"{_MARK}={self._mark}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes():
                    yield int(folder.name)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue


def spread(stage: Stage, events: str, chance: random.Random) -> list[Moment]:
    """Moments of one stage: `begins shard checkpoint~` where `~` asks for a delay."""
    return [
        Moment(stage, event.rstrip("~"), chance.uniform(0.02, 0.4) if "~" in event else 0.0)
        for event in events.split()
    ]
