"""What a run shows in Prefect of its scores: tables and a chart, under stable keys.

The other artifacts stand beside this module: `prefect_funnel`, `prefect_samples`, `prefect_sweep`,
`prefect_places`. `prefect_publishing` publishes them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.summaries import headline
from tasks.benchmark import scores_of
from tasks.config import StageConfig, StageContext
from tasks.markdown_text import label, table
from tasks.prefect_publishing import artifact_key, publish_markdown, publish_table

# The colours that Prefect's interface leaves to a chart can hardly be seen on its background.
_COLOURS = """\
%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "#3b82f6, #f59e0b"}}}}%%"""


def publish_benchmarks(
    config: StageConfig, context: StageContext, benchmarks: str, *, gate: bool
) -> None:
    """Publishes one policy's scores as a table; its key is the same in every iteration."""
    rows = [
        {
            "benchmark": name,
            "questions": score.num_questions,
            "accuracy": percent(score.accuracy),
            "interval": f"{percent(score.ci_low)} to {percent(score.ci_high)}",
            "EM": percent(score.em),
            "F1": percent(score.f1),
            "MBE": percent(score.mbe),
            "unjudged": score.unjudged,
        }
        for name, score in scores_of(config, benchmarks).items()
    ]
    key = artifact_key("gate" if gate else "benchmark", context.run)
    publish_table(key, rows, f"{context.run}: {subject_of(context)}")


def publish_scores(run: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Publishes all policies of a run so far: a table by benchmark, and a chart of the average.

    Args:
        run: Name of the run.
        entries: The entries of the run's document, from base to last.
    """
    rows = [
        {
            "policy": entry["name"],
            **{name: percent(headline(s) or 0.0) for name, s in entry["benchmarks"].items()},
            "average": percent(entry["average"]),
            "promoted": "yes" if entry["promoted"] else "no",
        }
        for entry in entries
    ]
    description = f"{run}: accuracy by policy and benchmark"
    publish_table(artifact_key("scores", run), rows, description)
    publish_markdown(artifact_key("score-chart", run), score_chart(entries), description)


def score_chart(entries: Sequence[Mapping[str, Any]]) -> str:
    """A mermaid chart of the benchmarks' average accuracy by policy, as Markdown."""
    measured = [entry for entry in entries if entry["average"] is not None]
    bars = {str(entry["name"]): 100 * entry["average"] for entry in measured}
    rows = [
        {"policy": entry["name"], "average": percent(entry["average"]), "": bar(entry["average"])}
        for entry in measured
    ]
    drawn = chart(bars, "accuracy, %", line=True)
    return "\n\n".join(["## Average accuracy on the held-out benchmarks", drawn, table(rows)])


def bar(fraction: float) -> str:
    """A fraction as a bar of text, for interfaces that draw no charts."""
    return "█" * round(20 * fraction) or "▏"


def chart(
    bars: Mapping[str, float],
    axis: str,
    *,
    line: bool = False,
    lying: bool = False,
    top: float = 100.0,
) -> str:
    """A bar chart as a block of mermaid.

    Args:
        bars: Heights by name, which are escaped; without any there is no chart.
        axis: What the heights are.
        line: Whether to draw a line through the tops as well.
        lying: Whether the bars lie, which leaves long names room.
        top: Where the axis may end at most; it ends above the highest bar, in steps of a tenth.
    """
    if not bars:
        return "Nothing was measured."
    step = top / 10
    end = min(top, step * -(-max(step, *bars.values()) // step))
    values = ", ".join(f"{value:.1f}" for value in bars.values())
    lines = [
        "```mermaid",
        _COLOURS,
        f"xychart-beta{' horizontal' if lying else ''}",
        f"    x-axis [{', '.join(label(name) for name in bars)}]",
        f'    y-axis "{axis}" 0 --> {end:.0f}',
        f"    bar [{values}]",
        *([f"    line [{values}]"] if line else []),
        "```",
    ]
    return "\n".join(lines)


def subject_of(context: StageContext) -> str:
    """What a stage worked on, in words: `base`, `iteration 2`."""
    return context.subject or f"iteration {context.iteration}"


def percent(fraction: float | None) -> str:
    """A fraction as a percentage; empty for None."""
    return "" if fraction is None else f"{fraction:.1%}"
