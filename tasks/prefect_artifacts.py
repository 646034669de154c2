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


def publish_benchmarks(
    config: StageConfig, context: StageContext, benchmarks: str, *, gate: bool
) -> None:
    """Publishes one policy's scores as a table; its key is the same in every iteration."""
    rows = [
        {
            "benchmark": name,
            "questions": score.num_questions,
            "accuracy": percent(score.accuracy),
            "interval": f"{100 * score.ci_low:.0f}–{100 * score.ci_high:.0f}%",
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
    description = f"{run}: accuracy by policy and benchmark"
    rows, drawn = score_rows(entries), score_chart(entries)
    publish_table(artifact_key("scores", run), rows, description, of_run=True)
    publish_markdown(artifact_key("score-chart", run), drawn, description, of_run=True)


def score_rows(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The scores with a column for each policy: a page of Prefect is narrow."""
    benchmarks = dict.fromkeys(name for entry in entries for name in entry["benchmarks"])
    rows = [
        {"benchmark": name, **{_name(each): _score(each, name) for each in entries}}
        for name in benchmarks
    ]
    averages = {_name(each): percent(each["average"]) for each in entries}
    promoted = {_name(each): "yes" if each["promoted"] else "no" for each in entries}
    return [*rows, {"benchmark": "average", **averages}, {"benchmark": "promoted", **promoted}]


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry["name"])


def _score(entry: Mapping[str, Any], benchmark: str) -> str:
    score = entry["benchmarks"].get(benchmark)
    return "" if score is None else percent(headline(score) or 0.0)


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


_CHART_STYLE = """---
config:
  xyChart:
    showDataLabel: true
  themeVariables:
    xyChart:
      plotColorPalette: "#3b82f6, #f97316"
---"""
"""Of mermaid's own colours the bars are hardly seen on Prefect's pages, light or dark."""


def bar(fraction: float) -> str:
    """A fraction as a bar of text, for interfaces that draw no charts."""
    return "█" * round(20 * fraction) or "▏"


def chart(
    bars: Mapping[str, float],
    axis: str,
    *,
    line: bool = False,
    top: float = 100.0,
    horizontal: bool = False,
) -> str:
    """A bar chart as a block of mermaid.

    Args:
        bars: Heights by name, which are escaped; without any there is no chart.
        axis: What the heights are.
        line: Whether to draw a line through the tops as well.
        top: Where the axis may end at most; it ends above the highest bar, in steps of a tenth.
        horizontal: Whether the bars lie, so that their names have room.
    """
    if not bars:
        return "Nothing was measured."
    step = top / 10
    end = min(top, step * -(-max(step, *bars.values()) // step))
    values = ", ".join(f"{value:.1f}" for value in bars.values())
    lines = [
        "```mermaid",
        _CHART_STYLE,
        "xychart-beta horizontal" if horizontal else "xychart-beta",
        f"    x-axis [{', '.join(label(name) for name in bars)}]",
        f'    y-axis "{axis}" 0 --> {end:.0f}',
        f"    bar [{values}]",
        *([f"    line [{values}]"] if line else []),
        "```",
    ]
    return "\n".join(lines)


def subject_of(context: StageContext) -> str:
    """What a stage worked on, in words: `base`, `iteration 2`."""
    # What comes before the first iteration and has no subject are the cold start's stages.
    iteration = f"iteration {context.iteration}" if context.iteration else "the cold start"
    return context.subject or iteration


def percent(fraction: float | None) -> str:
    """A fraction as a percentage; empty for None."""
    return "" if fraction is None else f"{fraction:.1%}"
