"""The picture of a training's figures over its steps, one panel a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.errors import UsageError

_FORMATS = ("svg", "png", "html")
_MEAN_OVER = 10
"""Steps of the moving mean that is drawn over many points."""


def draw_curves(
    steps: Sequence[Mapping[str, Any]], figures: Sequence[str], file: Path, title: str
) -> None:
    """Draws points, their moving mean and the fitted line of each figure.

    Args:
        steps: The steps, figures by name; `step` and `iteration` among them.
        figures: What to draw.
        file: Where to; its suffix says the format.
        title: Written above.

    Raises:
        UsageError: The suffix is none that can be drawn, the drawing library is not installed, or
            the file cannot be written.
    """
    kind = file.suffix.lstrip(".").lower()
    if kind not in _FORMATS:
        raise UsageError(f"--plot {file}: expected a name that ends with .svg, .png or .html")
    try:
        import altair as alt
    except ImportError as error:
        raise UsageError("--plot needs altair: pip install 'evolvesearch[plots]'") from error
    panels = [_panel(alt, steps, figure) for figure in figures]
    chart = alt.vconcat(*panels).properties(title=title).configure_view(stroke=None)
    try:
        chart.save(str(file), format=kind, **({"scale_factor": 2} if kind == "png" else {}))
    except OSError as error:
        raise UsageError(f"--plot {file}: {error.strerror or error}") from error


def _panel(alt: Any, steps: Sequence[Mapping[str, Any]], figure: str) -> Any:
    rows = [
        {"step": step["step"], "iteration": str(step["iteration"]), "value": step[figure]}
        for step in steps
        if isinstance(step.get(figure), int | float)
    ]
    label = figure.replace("_", " ")
    x = alt.X("step:Q", title="step")
    y = alt.Y("value:Q", title=label, scale=alt.Scale(zero=False))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=x, y=y, color=alt.Color("iteration:N", legend=None)
    )
    points = base.mark_point(filled=True, size=22, opacity=0.55)
    layers = [points]
    if len(rows) > 2 * _MEAN_OVER:
        frame = [-(_MEAN_OVER // 2), _MEAN_OVER // 2]
        mean = base.transform_window(
            smooth="mean(value)", frame=frame, groupby=["iteration"]
        ).mark_line(strokeWidth=2)
        layers.append(mean.encode(y=alt.Y("smooth:Q", title=label)))
    else:
        layers.append(base.mark_line(strokeWidth=2))
    line = base.transform_regression("step", "value", groupby=["iteration"])
    layers.append(line.mark_line(strokeDash=[6, 4], strokeWidth=1.5))
    return alt.layer(*layers).properties(width=620, height=190)
