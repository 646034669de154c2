"""`evolvesearch run`: the loop from the base policy to the last iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from agents.errors import StoppedError, UsageError
from deployments.cli.console import duration, output, screen
from deployments.cli.decisions import decision_lines
from deployments.cli.options import Settings, reuse_options, shared_options
from deployments.cli.tables import next_commands, score_table

if TYPE_CHECKING:
    from flows.config import EvolutionConfig

_ALL = "all"


@click.command()
@click.option(
    "--force-promote",
    metavar="[ITERATION]",
    is_flag=False,
    flag_value=_ALL,
    multiple=True,
    help="Promote this iteration's policy, or without a number that of every iteration, whatever "
    "the gate says; recorded, and kept when the run is resumed. Can be repeated.",
)
@click.option(
    "--further",
    type=click.IntRange(min=1),
    metavar="N",
    help="Go on from the run's last promoted policy with N iterations beyond those that it has "
    "finished; without it the run has as many as `iterations` says.",
)
@shared_options
@reuse_options
def run(
    settings: Settings,
    name: str | None,
    no_reuse: bool,
    redo: tuple[str, ...],
    force_promote: tuple[str, ...],
    further: int | None,
) -> int:
    """Run the self-evolution loop: base, cold start, then iterations of rollout, filter, SFT, RL.

    A stage whose result lies in the store is reused, so a run that was stopped or killed goes on
    where it was: give the same command again.

    After each iteration the gate compares its policy with the best so far. One that fails is
    rolled back and the run goes on from the best; that is no failure of the run (exit code 0).

    \b
    Examples:
      evolvesearch run
      evolvesearch run --profile smoke --json
      evolvesearch run --name longer --set iterations=4 --set rl.num_steps=10
      evolvesearch run --redo benchmark
      evolvesearch run --name longer --force-promote 2
      evolvesearch run --name nightly --further 1
    """
    forced = _forced(force_promote)
    return run_and_show(
        settings,
        settings.config(),
        name,
        no_reuse=no_reuse,
        redo=redo,
        force_promote=forced,
        further_iterations=further,
    )


def run_and_show(
    settings: Settings, config: EvolutionConfig, name: str | None, **options: Any
) -> int:
    """Runs the loop and shows what it came to.

    Args:
        settings: What the shared options said.
        config: The configuration of the run.
        name: Name of the run; None: from the configuration.
        **options: What else `flows.evolve.run_evolution` takes.

    Returns:
        The exit code.
    """
    with output(settings.json) as answer:
        from flows.evolve import run_evolution

        document = run_evolution(config, name=name, verbose=settings.debug, **options)
        document["comparison"] = _comparison(config, document)
        answer(document)
    if not settings.json:
        _show(settings, document)
    return StoppedError.exit_code if document.get("stopped") else 0


def _forced(values: Sequence[str]) -> Sequence[int] | Literal["all"]:
    """The iterations that `--force-promote` names."""
    if _ALL in values:
        return "all"
    for value in values:
        if not value.isdecimal():
            raise UsageError(f"--force-promote: got {value!r}; expected an iteration's number")
    return [int(value) for value in values]


def _show(settings: Settings, document: Mapping[str, Any]) -> None:
    console = screen()
    console.print(score_table(console, document["iterations"], document["comparison"]))
    for line in decision_lines(document["iterations"]):
        console.print(line)
    if document.get("stopped"):
        console.print(f"Stopped early: {document['stopped']}.")
    console.print(f"{_reuse(document['stages'])}.")
    console.print(f"Run {document['run']}, {duration(document['wall_s'])}.\n")
    console.print(next_commands(settings, document["run"]), soft_wrap=True)


def _comparison(config: EvolutionConfig, document: Mapping[str, Any]) -> dict[str, Any]:
    if len(document["iterations"]) < 2:
        return {}
    from tasks.artifacts import ArtifactStore
    from tasks.comparison import run_comparison

    run, iterations = document["run"], document["iterations"]
    store, confidence = ArtifactStore.open(config.store), config.benchmark.confidence
    return run_comparison(store, run, iterations, confidence)


def _reuse(stages: Sequence[Mapping[str, Any]]) -> str:
    """Which stages were found done, and which were computed."""
    done = [stage for stage in stages if stage["status"] == "done"]
    computed = [stage for stage in done if not stage["reused"]]
    if not computed:
        return f"Reused all {len(done)} stages"
    if len(computed) == len(done):
        return f"Computed all {len(done)} stages"
    names = [_name(stage) for stage in computed]
    return f"Reused {len(done) - len(computed)} of {len(done)} stages; computed {', '.join(names)}"


def _name(stage: Mapping[str, Any]) -> str:
    which = stage["subject"] or (stage["iteration"] or "")
    return f"{stage['stage'].replace('_', ' ')} {which}".strip()
