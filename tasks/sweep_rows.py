"""What the runs of a sweep came to, read from the store: a row a run, comparable with the others.

Runs may have been made in any process, on any machine: their records and artifacts say it all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evaluation.comparison import AVERAGE, Comparison, compare
from evaluation.statistics import average_interval
from evaluation.summaries import headline
from tasks.artifacts import ArtifactStore
from tasks.comparison import gate_answers, own_answers
from tasks.policy_scores import policy_rows
from tasks.runs import RunLog


@dataclass(frozen=True)
class SweepRow:
    """One run of a sweep.

    Attributes:
        number: Its place in the sweep, from 1.
        run: Name of the run.
        settings: What it sets, by dotted key.
        seed: Its seed.
        status: `done`, `stopped` (by its stop rule) or `failed`; `waiting` where it has not ended.
        error: Why it failed, in one line; empty where it did not.
        reused: Whether it was done before, and was not started again.
        wall_s: Seconds it took, over all its starts.
        policy: Digest of its last promoted policy; empty: there is none.
        policy_name: That policy's name in the run.
        benchmarks: That policy's scores by benchmark, as in a run's document.
        average: Mean of the benchmarks; None: none was measured.
        ci_low: Lower bound of its interval.
        ci_high: Upper bound of its interval.
        gate_accuracy: That policy's accuracy on the gate's questions; None: it was not asked any.
        difference: How the average differs from that of the first row that has one; None: there
            is nothing to compare.
    """

    number: int
    run: str
    settings: Mapping[str, Any]
    seed: int
    status: str = "waiting"
    error: str = ""
    reused: bool = False
    wall_s: float = 0.0
    policy: str = ""
    policy_name: str = ""
    benchmarks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    average: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    gate_accuracy: float | None = None
    difference: Comparison | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end, so that it can be compared."""
        return self.status in ("done", "stopped")

    @property
    def setting(self) -> str:
        """What it sets beside the seed, in one line: runs of one setting are seeds of it."""
        return settings_text({key: v for key, v in self.settings.items() if key != "seed"})


@dataclass(frozen=True)
class SweepAnswers:
    """What the policies of a sweep answered.

    Attributes:
        gate: Marks on the gate's questions, by run and question.
        benchmarks: Scores of benchmark questions, by run, benchmark and question.
    """

    gate: dict[str, Mapping[str, float]] = field(default_factory=dict)
    benchmarks: dict[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)


def read_row(store: ArtifactStore, row: SweepRow, answers: SweepAnswers) -> SweepRow:
    """Completes a row by what the store has of its run.

    Args:
        store: The store.
        row: The row, its status and error as the sweep has seen them.
        answers: Takes what the run's policy answered.

    Raises:
        StoreError: A record or an artifact cannot be read.
    """
    runs = RunLog(store.objects)
    if (record := runs.run(row.run)) is None:
        return row
    row = replace(row, wall_s=record.wall_s)
    promoted = [entry for entry in record.policies if entry.promoted]
    if not row.is_finished or not promoted:
        return row
    stages = runs.stages(row.run)
    (measured,) = policy_rows(store, promoted[-1:], stages)
    scores: Mapping[str, Mapping[str, Any]] = measured["benchmarks"]
    gate = gate_answers(store, stages, measured["policy"])
    answers.gate[row.run] = gate
    answers.benchmarks[row.run] = own_answers(store, stages, measured["policy"])
    low, high = average_interval([_interval(s) for s in scores.values()]) if scores else (None,) * 2
    return replace(
        row,
        policy=measured["policy"],
        policy_name=measured["name"],
        benchmarks=scores,
        average=measured["average"],
        ci_low=low,
        ci_high=high,
        gate_accuracy=sum(gate.values()) / len(gate) if gate else None,
    )


def difference_of(
    answers: SweepAnswers, first: SweepRow, second: SweepRow, confidence: float
) -> Comparison | None:
    """How the second row's average differs from the first's, question by question.

    Args:
        answers: What the policies of the sweep answered.
        first: A finished row.
        second: Another one.
        confidence: Confidence level of the interval.

    Returns:
        The comparison of their averages, or of the only benchmark; None: nothing was asked of both.
    """
    sides = [answers.benchmarks.get(row.run, {}) for row in (first, second)]
    found = compare(sides[:1], sides[1:], confidence=confidence) if all(sides) else {}
    return found.get(AVERAGE) or next(iter(found.values()), None)


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings in one line: `rl.learning_rate=1e-05, seed=1`."""
    return ", ".join(f"{key}={_value(value)}" for key, value in settings.items()) or "as configured"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _interval(score: Mapping[str, Any]) -> tuple[float, float, float]:
    """A benchmark's score and interval, of the kind that averages are made of."""
    if score.get("mbe") is None:
        return score["accuracy"], score["ci_low"], score["ci_high"]
    return headline(score) or 0.0, score["mbe_low"], score["mbe_high"]
