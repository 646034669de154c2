"""What a run shows in Prefect: tables of scores and verdicts, and a chart, under stable keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from evaluation.summaries import headline
from tasks.artifacts import ArtifactStore
from tasks.benchmark import scores_of
from tasks.config import StageConfig, StageContext
from tasks.references import resolve


def publish_benchmarks(
    config: StageConfig, context: StageContext, benchmarks: str, *, gate: bool
) -> None:
    """Publishes one policy's scores as a table; its key is the same in every iteration."""
    rows = [
        {
            "benchmark": name,
            "questions": score.num_questions,
            "accuracy": _percent(score.accuracy),
            "interval": f"{_percent(score.ci_low)} to {_percent(score.ci_high)}",
            "EM": _percent(score.em),
            "F1": _percent(score.f1),
            "MBE": "" if score.mbe is None else _percent(score.mbe),
            "unjudged": score.unjudged,
        }
        for name, score in scores_of(config, benchmarks).items()
    ]
    create_table_artifact(
        rows,
        key=artifact_key("gate" if gate else "benchmark", context.run),
        description=f"{context.run}: {context.subject or f'iteration {context.iteration}'}",
    )


def publish_verdicts(config: StageConfig, context: StageContext, verdicts: str) -> None:
    """Publishes how many trajectories the filter kept, and why it dropped the others."""
    store = ArtifactStore.open(config.store)
    table = store.read_table(resolve(store, "verdicts", verdicts))
    counts = Counter(table.column("reason").to_pylist())
    create_table_artifact(
        [{"verdict": reason, "trajectories": count} for reason, count in counts.most_common()],
        key=artifact_key("filter", context.run),
        description=f"{context.run}: filter of iteration {context.iteration}",
    )


def publish_scores(run: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Publishes all policies of a run so far: a table by benchmark, and a chart of the average.

    Args:
        run: Name of the run.
        entries: The entries of the run's document, from base to last.
    """
    table = [
        {
            "policy": entry["name"],
            **{name: _percent(headline(s) or 0.0) for name, s in entry["benchmarks"].items()},
            "average": _percent(entry["average"]),
            "promoted": "yes" if entry["promoted"] else "no",
        }
        for entry in entries
    ]
    description = f"{run}: accuracy by policy and benchmark"
    create_table_artifact(table, key=artifact_key("scores", run), description=description)
    create_markdown_artifact(
        score_chart(entries), key=artifact_key("score-chart", run), description=description
    )


def score_chart(entries: Sequence[Mapping[str, Any]]) -> str:
    """A mermaid chart of the benchmarks' average accuracy by policy, as Markdown."""
    names = ", ".join(f'"{entry["name"]}"' for entry in entries)
    values = ", ".join(f"{100 * entry['average']:.1f}" for entry in entries)
    top = max(10.0, *(100 * entry["average"] for entry in entries)) if entries else 100.0
    return "\n".join(
        [
            "## Average accuracy on the held-out benchmarks",
            "```mermaid",
            "xychart-beta",
            f"    x-axis [{names}]",
            f'    y-axis "accuracy, %" 0 --> {min(100, 10 * -(-top // 10)):.0f}',
            f"    bar [{values}]",
            f"    line [{values}]",
            "```",
        ]
    )


def artifact_key(series: str, run: str) -> str:
    """A key as Prefect wants them: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{series}-{run}".lower()).strip("-")


def _percent(fraction: float) -> str:
    return f"{fraction:.1%}"
