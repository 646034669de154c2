"""What a sweep has come to so far: its rows, the best policy, and the artifact that shows both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from evaluation.comparison import Comparison
from flows.config import EvolutionConfig
from flows.sweep_members import Member
from tasks.artifacts import ArtifactStore
from tasks.prefect_sweep import publish_sweep
from tasks.runs import RunLog
from tasks.sweep_choice import choose
from tasks.sweep_rows import SweepAnswers, SweepRow, difference_of, read_row


class SweepReport:
    """Keeps the comparison of a sweep's members while they end, in whatever order."""

    def __init__(self, config: EvolutionConfig, name: str, members: Sequence[Member]) -> None:
        self._name = name
        self._store = ArtifactStore.open(config.store)
        self._confidence = config.benchmark.confidence
        self._answers = SweepAnswers()
        self._differences: dict[tuple[str, str], Comparison | None] = {}
        self._start = time.monotonic()
        self._rows = {
            member.run: SweepRow(
                member.number, member.run, dict(member.settings), member.config.seed
            )
            for member in members
        }

    def find_done(self, members: Sequence[Member]) -> list[Member]:
        """Takes the members that have finished before from the store; returns the others.

        The name of a member's run covers its configuration, so that what is done is what would be
        made now.
        """
        left = []
        for member in members:
            record = RunLog(self._store.objects).run(member.run)
            if record is not None and record.status == "done":
                row = replace(self._rows[member.run], status="done", reused=True)
                self._rows[member.run] = read_row(self._store, row, self._answers)
            else:
                left.append(member)
        self._publish()
        return left

    def settle(self, member: Member, error: str) -> SweepRow:
        """Notes that a member has ended.

        Args:
            member: The member.
            error: Why it failed; empty where it did not.
        """
        record = RunLog(self._store.objects).run(member.run)
        finished = record.status if record else "done"
        status = "failed" if error else finished
        row = replace(self._rows[member.run], status=status, error=error)
        self._rows[member.run] = row = read_row(self._store, row, self._answers)
        self._publish()
        return row

    @property
    def rows(self) -> list[SweepRow]:
        """The members' rows, in order."""
        rows = list(self._rows.values())
        first = next((row for row in rows if row.average is not None), None)
        if first is None:
            return rows
        return [
            row
            if row is first or row.average is None
            else replace(row, difference=self._difference(first, row))
            for row in rows
        ]

    def document(self) -> dict[str, Any]:
        """The sweep's document, as the command line prints it."""
        rows = self.rows
        best = choose(rows, self._answers, self._confidence)
        return {
            "sweep": self._name,
            "members": [asdict(row) for row in rows],
            "best": asdict(best) if best else None,
            "failed": [row.run for row in rows if row.status == "failed"],
            "wall_s": round(time.monotonic() - self._start, 3),
        }

    def _difference(self, first: SweepRow, row: SweepRow) -> Comparison | None:
        pair = first.run, row.run
        if pair not in self._differences:
            self._differences[pair] = difference_of(self._answers, first, row, self._confidence)
        return self._differences[pair]

    def _publish(self) -> None:
        rows = self.rows
        publish_sweep(self._name, rows, choose(rows, self._answers, self._confidence))
