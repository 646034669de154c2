"""`evolvesearch construct`, `rollout`, `filter`, `sft`, `rl`: one stage alone.

A stage takes references to artifacts of the store. What is not named is taken from a run: the
newest artifact of the kind that the stage reads, and the last policy that was promoted.
`benchmark.py` has the command of the last stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from deployments.cli.console import duration, output, screen
from deployments.cli.options import Settings, reuse_options, shared_options
from deployments.cli.tables import command, plain_table

if TYPE_CHECKING:
    from flows.config import EvolutionConfig

_HELP = {
    "questions": "Reference of the questions.",
    "policy": "A digest, RUN, RUN/ITERATION, a model folder, smollm2-135m-instruct, "
    "hub:OWNER/NAME or a reference.",
    "trajectories": "Reference of the trajectories.",
    "sft_examples": "Reference of the SFT examples.",
    "rewards": "Reference of rewards, which say what questions can be learnt from.",
    "cold_start": "Reference of cold-start trajectories, whose questions are left out.",
}
_RUN_HELP = "Take what is not named from this run  [default: the same run, else the newest]"


def stage_options(
    *inputs: str, optional: tuple[str, ...] = (), iteration: int = 1
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options of a stage: its inputs, the run to find them in, and the shared ones."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function = shared_options(reuse_options(function))
        iteration_option = click.option(
            "--iteration",
            type=click.IntRange(0),
            default=iteration,
            show_default=True,
            help="Iteration it belongs to; each rolls out its own part of the questions.",
        )
        function = iteration_option(click.option("--run", metavar="RUN", help=_RUN_HELP)(function))
        for name in reversed([*inputs, *optional]):
            flag = "--examples" if name == "sft_examples" else f"--{name.replace('_', '-')}"
            function = click.option(flag, name, metavar="REF", help=_HELP[name])(function)
        return function

    return decorate


@click.command()
@stage_options(iteration=0)
def construct(**options: Any) -> None:
    """Build the web, the questions and the base policy.

    \b
    Examples:
      evolvesearch construct
      evolvesearch construct --set questions.num_training=5000
    """
    run_stage("construct", "construct", (), **options)


@click.command(name="closed-book")
@stage_options("questions", "policy", iteration=0)
def closed_book(**options: Any) -> None:
    """Count the training questions that a policy answers without any tool, and drop them.

    \b
    Examples:
      evolvesearch closed-book --set closed_book.attempts=10
      evolvesearch closed-book --policy ./my-model --set closed_book.attempts=10 \\
          --set closed_book.num_questions=200 --set closed_book.drop=true
    """
    run_stage("closed_book", "closed_book", ("questions", "policy"), **options)


@click.command(name="cold-start")
@stage_options("questions", "policy", iteration=0)
def cold_start(**options: Any) -> None:
    """Build trajectories from known chains of facts; `filter` and `sft` take them from there.

    \b
    Examples:
      evolvesearch cold-start
      evolvesearch cold-start --policy laptop-1a2b3c4d/base --set cold_start.num_questions=50
    """
    run_stage("cold_start", "cold_start", ("questions", "policy"), **options)


@click.command()
@stage_options("questions", "policy", optional=("cold_start",))
def rollout(**options: Any) -> None:
    """Sample several trajectories of each question; goes on where it was stopped.

    \b
    Examples:
      evolvesearch rollout
      evolvesearch rollout --policy laptop-1a2b3c4d --set rollout.temperature=0.8
    """
    run_stage("rollout", "rollout", ("questions", "policy"), **options)


@click.command(name="filter")
@click.option(
    "--against",
    metavar="REF",
    help="Judge anew what these verdicts judged (RUN, RUN/ITERATION, a digest or a reference), "
    "under their run's settings, and say how the verdicts changed.",
)
@stage_options("questions", "trajectories")
def filter_(settings: Settings, against: str | None, **options: Any) -> None:
    """Reward trajectories and keep the best as training examples; needs no model.

    Nothing is sampled and nothing is replaced: new rewards, verdicts and examples come to lie
    beside the old ones.

    \b
    Examples:
      evolvesearch filter
      evolvesearch filter --run laptop-1a2b3c4d --iteration 2 --set filter.top_k=50
      evolvesearch filter --against laptop-1a2b3c4d/2 --set reward.answer=f1 \\
          --set filter.min_answer_reward=0.6
    """
    if against is None:
        run_stage("filter", "filter_", ("questions", "trajectories"), settings=settings, **options)
        return
    from deployments.cli.refilter import prepare

    again = prepare(settings, against, options)
    run_stage(
        "filter",
        "filter_",
        ("questions", "trajectories"),
        settings=settings,
        config=again.config,
        compare=again.compare,
        **again.options,
    )


@click.command()
@stage_options("policy", "sft_examples")
def sft(**options: Any) -> None:
    """Fine-tune a policy on kept trajectories.

    \b
    Examples:
      evolvesearch sft
      evolvesearch sft --policy ./my-model --examples 3f9a01c2 --set sft.num_epochs=2
    """
    run_stage("sft", "sft", ("policy", "sft_examples"), **options)


@click.command()
@stage_options("questions", "policy", optional=("rewards", "cold_start"))
def rl(**options: Any) -> None:
    """Train a policy by reinforcement learning; its rollouts are recorded.

    \b
    Examples:
      evolvesearch rl
      evolvesearch rl --policy laptop-1a2b3c4d/1 --set rl.num_steps=4
    """
    run_stage("rl", "rl", ("questions", "policy"), **options)


def run_stage(
    stage: str,
    flow_name: str,
    needed: tuple[str, ...],
    *,
    settings: Settings,
    name: str | None,
    run: str | None,
    iteration: int,
    no_reuse: bool,
    redo: tuple[str, ...],
    config: EvolutionConfig | None = None,
    compare: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    construct_first: bool = False,
    **references: str | None,
) -> None:
    """Runs one stage and shows what it made.

    Args:
        stage: Its name in records.
        flow_name: Its flow in `flows.stages`.
        needed: Inputs that it cannot do without.
        settings: What the shared options said.
        name: Name of the run that it belongs to; None: from the configuration.
        run: Run to take what is not named from; None: the same, else the newest.
        iteration: Iteration that it belongs to.
        no_reuse: Whether to compute it anew.
        redo: Stages to compute anew.
        config: The configuration; None: that of the settings.
        compare: Adds to the document what is to be said beyond it.
        construct_first: Whether to make questions and base policy where the store has no run.
        references: References by input, None where none was given.
    """
    config = config or settings.config()
    with output(settings.json) as answer:
        from deployments.cli.stage_inputs import find_inputs, has_stages

        begins = construct_first and run is None and not has_stages(config)
        inputs = {} if begins else find_inputs(config, run or name, needed, references)
        import flows.stages
        from flows.evolve import run_context
        from flows.prefect_runtime import prefect_session
        from tasks.heavy.run import stop_heavy

        context = run_context(config, name, no_reuse, redo, iteration)
        try:
            with prefect_session(settings.debug):
                if begins:
                    made = flows.stages.construct(config, context)
                    inputs = {key: references.get(key) or made[key] for key in needed}
                arguments = {
                    ("examples" if key == "sft_examples" else key): inputs[key] for key in inputs
                }
                made = getattr(flows.stages, flow_name)(config, context, **arguments)
        finally:
            stop_heavy()
        from deployments.cli.stage_inputs import stage_document

        document = stage_document(config, context, stage, inputs, made)
        if compare is not None:
            document |= compare(document)
        answer(document)
    if not settings.json:
        _show(screen(), settings, document)


def _show(console: Console, settings: Settings, document: Mapping[str, Any]) -> None:
    table = plain_table(f"{document['stage']}, run {document['run']}")
    table.add_column("made")
    table.add_column("rows", justify="right")
    table.add_column("reference", overflow="fold")
    for made, row in document["artifacts"].items():
        count = "" if row["num_rows"] is None else f"{row['num_rows']:,}"
        table.add_row(made, count, row["reference"])
    console.print(table)
    if document["benchmarks"]:
        from deployments.cli.score_tables import benchmark_table

        console.print(benchmark_table(console, document["benchmarks"], document["protocol"]))
    if "changes" in document:
        from deployments.cli.refilter import changes_table

        console.print(changes_table(document))
    how = "reused" if document["reused"] else "took"
    state = document["status"] if document["status"] != "done" else how
    console.print(f"{state}, {duration(document['wall_s'])}: {document['error']}".rstrip(": "))
    if following := _AFTER.get(document["stage"]):
        hint = command(settings, following, "--run", document["run"])
        console.print(f"Next: {hint}", soft_wrap=True)


_AFTER = {
    "construct": "cold-start",
    "closed_book": "cold-start",
    "cold_start": "filter",
    "rollout": "filter",
    "filter": "sft",
    "sft": "rl",
    "rl": "benchmark",
}
