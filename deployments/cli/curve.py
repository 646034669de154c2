"""`evolvesearch curve`: how a training's figures moved over its steps, with slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agents.errors import UsageError
from deployments.cli.console import output, screen
from deployments.cli.options import Settings, shared_options
from deployments.cli.tables import plain_table

if TYPE_CHECKING:
    from tasks.runs import StageRecord

HELD_OUT = "held_out_"
"""How the figures of held-out questions begin."""

_DEFAULT = {"rl": "reward_mean,held_out_accuracy", "sft": "loss,token_accuracy"}


@click.command()
@click.argument("run")
@click.option("--stage", type=click.Choice(("rl", "sft")), default="rl", show_default=True)
@click.option("--iteration", type=click.IntRange(min=0), help="Only this iteration's training.")
@click.option(
    "--figures",
    metavar="NAMES",
    help="Columns or metrics of training_steps, separated by commas.",
)
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw them into a .svg, .png or .html file.",
)
@shared_options
def curve(
    settings: Settings,
    run: str,
    stage: str,
    iteration: int | None,
    figures: str | None,
    plot: Path | None,
) -> None:
    """Show how a training's figures moved over its steps.

    RUN is a name from `evolvesearch runs`. For each figure: the first and the last value, and the
    slope a step with its 95% interval.

    \b
    Examples:
      evolvesearch curve rl-a
      evolvesearch curve rl-a --figures reward_mean,entropy --plot rl.svg
      evolvesearch curve laptop-1a2b3c4d --iteration 2 --json
    """
    config = settings.config()
    with output(settings.json) as answer:
        store = settings.existing_store(config.store)
        names = [name.strip() for name in (figures or _DEFAULT[stage]).split(",") if name.strip()]
        steps = _steps(store, run, stage, iteration)
        rows = _summary(steps, names, given=figures is not None)
        if plot is not None:
            from deployments.cli.curve_plot import draw_curves

            draw_curves(steps, [row["figure"] for row in rows], plot, f"{run}: {stage}")
        num_steps = sum("stage" in step for step in steps)
        answer({"run": run, "stage": stage, "num_steps": num_steps, "figures": rows})
    if settings.json:
        return
    table = plain_table(f"{run}: {stage}, {num_steps} steps")
    table.add_column("figure", no_wrap=True)
    for heading in ("first", "last", "mean", "slope a step", "95% from", "to"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        numbers = [row[key] for key in ("first", "last", "mean", "slope", "ci_low", "ci_high")]
        table.add_row(row["figure"], *("" if n is None else f"{n:.4g}" for n in numbers))
    screen().print(table)


def _steps(store: Any, run: str, stage: str, iteration: int | None) -> list[dict[str, Any]]:
    """The steps of a run's trainings of one stage, all their figures by name."""
    from deployments.cli.run_documents import find_run
    from tasks.runs import RunLog
    from tasks.training_steps import steps_of

    log = RunLog(store.objects)
    # A stage that was run alone belongs to a name without a run's record.
    stages = log.stages(run) if RunLog.is_name(run) else []
    if not stages:
        run = find_run(log.runs(), run).run
        stages = log.stages(run)
    found = []
    for each in stages:
        if each.stage != stage or (iteration is not None and each.iteration != iteration):
            continue
        for row in steps_of(store, each):
            more = {**dict(row.get("metrics") or ()), **dict(row.get("timings") or ())}
            found.append({"iteration": each.iteration, **row, **more})
        found += _after_the_last(each, found)
    if not found:
        which = "" if iteration is None else f" of iteration {iteration}"
        raise UsageError(f"run {run} has no {stage} steps{which}; see evolvesearch show")
    return found


def _after_the_last(
    record: StageRecord, steps: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What was measured after a training's last step, as a point in the place of the next one.

    Figures of a step say what the policy was like before its update, so that this one belongs at
    the end of the same line.
    """
    last = {name: value for name, value in record.metrics.items() if name.startswith(HELD_OUT)}
    places = [step["step"] for step in steps if step["iteration"] == record.iteration]
    if not last or not places:
        return []
    return [{"iteration": record.iteration, "step": max(places) + 1, **last}]


def _summary(
    steps: Sequence[Mapping[str, Any]], names: Sequence[str], given: bool
) -> list[dict[str, Any]]:
    """A row a figure; those that were not asked for by name may be missing.

    Raises:
        UsageError: A figure that was asked for is in no step.
    """
    from evaluation.statistics import fit_slope

    rows = []
    for name in names:
        points = [
            (float(step["step"]), float(step[name])) for step in steps if _is_number(step.get(name))
        ]
        if not points:
            if not given:
                continue
            known = sorted({key for step in steps for key in step if _is_number(step[key])})
            raise UsageError(f"no step has the figure {name!r}; there are {', '.join(known)}")
        values = [value for _, value in points]
        row = {
            "figure": name,
            "num_points": len(points),
            "first": values[0],
            "last": values[-1],
            "mean": sum(values) / len(values),
            "slope": None,
            "ci_low": None,
            "ci_high": None,
        }
        if len(points) > 2 and len({x for x, _ in points}) > 2:
            fit = fit_slope(*zip(*points, strict=True))
            row |= {"slope": fit.slope, "ci_low": fit.ci_low, "ci_high": fit.ci_high}
        rows.append(row)
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
