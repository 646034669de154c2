"""How the runs of a sweep compare, as one artifact: the best policy, a chart and a table."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.summaries import headline
from tasks.markdown_text import inline, table
from tasks.prefect_artifacts import chart, percent
from tasks.prefect_publishing import artifact_key, publish_markdown
from tasks.sweep_choice import SweepChoice
from tasks.sweep_rows import SweepRow, settings_text


def publish_sweep(name: str, rows: Sequence[SweepRow], choice: SweepChoice | None) -> None:
    """Publishes the comparison, as far as the sweep has come.

    Args:
        name: Name of the sweep.
        rows: Its rows, those that have not ended included.
        choice: Its best policy so far; None: there is none yet.
    """
    text = sweep_text(name, rows, choice)
    publish_markdown(artifact_key("sweep", name), text, f"{name}: comparison of its runs")


def sweep_text(name: str, rows: Sequence[SweepRow], choice: SweepChoice | None) -> str:
    """The comparison as Markdown; settings and errors are escaped."""
    ended = sum(row.status != "waiting" for row in rows)
    failed = sum(row.status == "failed" for row in rows)
    parts = [
        f"## Sweep {inline(name)}",
        f"{ended} of {len(rows)} runs have ended, {failed} of them failed.",
    ]
    if choice is not None:
        parts.append(
            f"**Best: {inline(choice.setting)}**, policy {choice.policy[:12]} of run "
            f"{inline(choice.run)}: {inline(choice.reason)}"
        )
    bars = {str(row.number): 100 * row.average for row in rows if row.average is not None}
    if bars:
        parts += [
            "### Average accuracy on the held-out benchmarks, by run",
            chart(bars, "accuracy, %"),
        ]
    parts += ["### Runs", table([_results(row) for row in rows])]
    benchmarks = list(dict.fromkeys(benchmark for row in rows for benchmark in row.benchmarks))
    if benchmarks:
        parts += ["### Accuracy by benchmark", table([_scores(row, benchmarks) for row in rows])]
    parts += ["### Policies", table([_policy(row) for row in rows])]
    return "\n\n".join(parts)


def _results(row: SweepRow) -> dict[str, object]:
    interval = ""
    if row.ci_low is not None and row.ci_high is not None:
        interval = f"{percent(row.ci_low)} to {percent(row.ci_high)}"
    return {
        "": row.number,
        "settings": settings_text(row.settings),
        "average": percent(row.average),
        "interval": interval,
        "against the first": _against_first(row),
        "gate": percent(row.gate_accuracy),
        "status": f"{row.status}{', reused' if row.reused else ''}",
    }


def _policy(row: SweepRow) -> dict[str, object]:
    return {
        "": row.number,
        "run": row.run,
        "last promoted": row.policy_name,
        "policy": row.policy[:12],
        "minutes": f"{row.wall_s / 60:.1f}" if row.wall_s else "",
        "error": row.error,
    }


def _against_first(row: SweepRow) -> str:
    if (found := row.difference) is None:
        return ""
    points = f"{100 * found.difference:+.1f}"
    interval = f"({100 * found.ci_low:+.1f} to {100 * found.ci_high:+.1f})"
    return f"{points} {interval}" if found.significant else f"{points} {interval}, n.s."


def _scores(row: SweepRow, benchmarks: Sequence[str]) -> dict[str, object]:
    found = {name: percent(headline(row.benchmarks.get(name, {}))) for name in benchmarks}
    return {"": row.number, **found, "average": percent(row.average)}
