"""A run's record in the store and its document: which policies it made, and how they score."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, Self

from agents.errors import StoppedError
from evaluation.benchmarks import average_accuracy
from flows.config import EvolutionConfig
from tasks.artifacts import ArtifactStore
from tasks.benchmark import scores_of
from tasks.config import StageContext
from tasks.prefect_artifacts import publish_scores
from tasks.references import resolve
from tasks.runs import PolicyEntry, RunLog, RunRecord, utc_now
from tasks.schemas import POLICIES
from tasks.stage_events import StageEvent, stage_events


class RunReport:
    """Keeps the record of a run while it goes on; leaving the context says how it ended."""

    def __init__(self, config: EvolutionConfig, context: StageContext) -> None:
        self._config = config
        self._store = ArtifactStore.open(config.store)
        self._runs = RunLog(self._store.objects)
        self._entries: list[dict[str, Any]] = []
        self._stages: list[StageEvent] = []
        self._listening = ExitStack()
        self._stopped = ""
        self._start = time.monotonic()
        before = self._runs.run(context.run)
        self._wall_before_s = before.wall_s if before else 0.0
        self._record = RunRecord(
            run=context.run,
            profile=config.profile,
            seed=config.seed,
            status="running",
            started_at=before.started_at if before else utc_now(),
            config=config.model_dump(mode="json"),
            wall_s=self._wall_before_s,
        )

    def __enter__(self) -> Self:
        self._listening.enter_context(stage_events(self._stages.append))
        self._runs.save_run(self._record)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            status, reason = ("stopped" if self._stopped else "done"), self._stopped
        else:
            # Ctrl-C, kill signals and a spent budget are no failure of the run.
            failed = isinstance(error, Exception) and not isinstance(error, StoppedError)
            status = "failed" if failed else "stopped"
            reason = str(error) or type(error).__name__
        with self._listening:
            self._save(status, reason)

    def add(self, name: str, iteration: int, policy: str, promoted: bool, benchmarks: str) -> None:
        """Adds a policy that was measured, to the record, the document and Prefect's artifacts."""
        digest = resolve(self._store, POLICIES, policy).digest
        scores = scores_of(self._config, benchmarks)
        self._entries.append(
            {
                "name": name,
                "iteration": iteration,
                "policy": digest,
                "promoted": promoted,
                "benchmarks": {name: asdict(score) for name, score in scores.items()},
                "average": average_accuracy(scores),
            }
        )
        entry = PolicyEntry(name=name, iteration=iteration, digest=digest, promoted=promoted)
        self._record = replace(self._record, policies=(*self._record.policies, entry))
        self._save("running", "")
        publish_scores(self._record.run, self._entries)

    def stop(self, reason: str) -> None:
        """Notes that the stop rule ended the run before its last iteration."""
        self._stopped = reason

    def document(self) -> dict[str, Any]:
        """The run's document, as the command line prints it."""
        document = {
            "run": self._record.run,
            "profile": self._record.profile,
            "iterations": self._entries,
            "stages": [asdict(event) for event in self._stages],
            "wall_s": round(self._wall_s, 3),
        }
        return document | ({"stopped": self._stopped} if self._stopped else {})

    @property
    def _wall_s(self) -> float:
        return self._wall_before_s + time.monotonic() - self._start

    def _save(self, status: str, error: str) -> None:
        self._record = replace(self._record, status=status, error=error, wall_s=self._wall_s)
        self._runs.save_run(self._record)
