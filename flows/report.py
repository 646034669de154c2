"""A run's record in the store and its document: which policies it made, and how they score."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, Self

from prefect.logging import get_run_logger

from agents.errors import StoppedError
from evaluation.benchmarks import average_accuracy
from flows.config import EvolutionConfig
from flows.promotion import IterationResult
from tasks.artifacts import ArtifactStore
from tasks.benchmark import scores_of
from tasks.config import StageContext
from tasks.policy_scores import policy_rows
from tasks.prefect_artifacts import publish_scores
from tasks.prefect_events import publish_end, publish_promotion
from tasks.prefect_places import publish_places
from tasks.references import resolve
from tasks.run_owner import owner_of_run, working_on
from tasks.runs import (
    ForcedPromotion,
    PolicyEntry,
    RunLog,
    RunRecord,
    decision_of,
    utc_now,
)
from tasks.schemas import POLICIES
from tasks.stage_events import StageEvent, stage_events


class RunReport:
    """Keeps the record of a run while it goes on; leaving the context says how it ended."""

    def __init__(
        self,
        config: EvolutionConfig,
        context: StageContext,
        policies: Sequence[PolicyEntry] = (),
    ) -> None:
        """Opens the record of a run.

        Args:
            config: Its configuration.
            context: Run and iteration.
            policies: What it has measured before, where this call goes on from there.
        """
        self._config = config
        self._store = ArtifactStore.open(config.store)
        self._runs = RunLog(self._store.objects)
        self._entries = policy_rows(
            self._store, policies, self._runs.stages(context.run) if policies else ()
        )
        self._stages: list[StageEvent] = []
        self._ending = ExitStack()
        self._stopped = ""
        self._start = 0.0
        self._wall_before_s = 0.0
        self._settled_before = set(policies)
        self._record = RunRecord(
            run=context.run,
            profile=config.profile,
            seed=config.seed,
            status="running",
            started_at=utc_now(),
            config=config.model_dump(mode="json"),
            policies=tuple(policies),
        )

    def __enter__(self) -> Self:
        objects, run = self._store.objects, self._record.run
        owner = owner_of_run(objects, run)
        if owner is not None and owner.alive:
            get_run_logger().warning("%s works on run %s: waiting for its end", owner, run)
        with ExitStack() as entered:
            # Two starts of one run follow one another: the second finds what the first has done.
            entered.enter_context(working_on(objects, run))
            self._start = time.monotonic()
            entered.enter_context(stage_events(self._stages.append))
            self._go_on_from(self._runs.run(run))
            self._runs.save_run(self._record)
            publish_places(run, self._store.uri)
            self._ending = entered.pop_all()
        return self

    def _go_on_from(self, before: RunRecord | None) -> None:
        """Takes over what the starts of the run before this one came to."""
        if before is None:
            return
        self._wall_before_s = before.wall_s
        self._settled_before |= set(before.policies)
        self._record = replace(
            self._record,
            started_at=before.started_at,
            wall_s=before.wall_s,
            forced=before.forced,
        )

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
        with self._ending:
            self._save(status, reason)
        publish_end(self._record)

    def add(self, name: str, policy: str, promoted: bool, benchmarks: str) -> None:
        """Adds a policy of before the first iteration, which no gate decides on."""
        self._add(PolicyEntry(name, 0, self._digest(policy), promoted), benchmarks)

    def settle(self, number: int, result: IterationResult, *, forced: bool) -> bool:
        """Adds what an iteration came to, and tells Prefect what became of its candidate.

        Args:
            number: The iteration.
            result: What it came to.
            forced: Whether this call promotes its candidate whatever the gate says.

        Returns:
            Whether the candidate is promoted against the gate, by this call or by one before.
        """
        decision, digest = result.decision, self._digest(result.candidate)
        known = {(each.iteration, each.digest) for each in self._record.forced}
        # An iteration that changed nothing has no policy to promote, and so no rule was applied.
        refused = bool(decision.rule) and not decision.promoted
        forced = refused and (forced or (number, digest) in known)
        if forced and (number, digest) not in known:
            promotion = ForcedPromotion(number, digest, decision.reason, utc_now())
            self._record = replace(self._record, forced=(*self._record.forced, promotion))
        entry = PolicyEntry(
            name=f"iteration {number}",
            iteration=number,
            digest=digest,
            promoted=decision.promoted or forced,
            forced=forced,
            compared_with=self._digest(result.compared_with) if result.compared_with else "",
            gate=decision,
        )
        self._add(entry, result.benchmarks)
        if entry not in self._settled_before:
            publish_promotion(self._record.run, entry)
        return forced

    def _add(self, entry: PolicyEntry, benchmarks: str) -> None:
        """Adds a policy that was measured, to the record, the document and Prefect's artifacts."""
        scores = scores_of(self._config, benchmarks)
        self._entries.append(
            {
                **decision_of(entry),
                "benchmarks": {name: asdict(score) for name, score in scores.items()},
                "average": average_accuracy(scores),
            }
        )
        self._record = replace(self._record, policies=(*self._record.policies, entry))
        self._save("running", "")
        publish_scores(self._record.run, self._entries)

    def _digest(self, policy: str) -> str:
        return resolve(self._store, POLICIES, policy).digest

    @property
    def policies(self) -> tuple[PolicyEntry, ...]:
        """What the run has measured so far."""
        return self._record.policies

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
