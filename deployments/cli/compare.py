"""`evolvesearch compare`: two policies on the same questions of the benchmarks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from deployments.cli.console import output, screen
from deployments.cli.options import Settings, shared_options


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--benchmarks",
    metavar="NAME,NAME",
    default="",
    help="Compare on these benchmarks alone; the average is theirs.",
)
@click.option(
    "--across-settings",
    is_flag=True,
    help="Compare even what was measured differently (judge, prompt, search, questions, …).",
)
@shared_options
def compare(
    settings: Settings, first: str, second: str, benchmarks: str, across_settings: bool
) -> None:
    """Compare policy B with policy A on the benchmark questions that both have answered.

    A and B are named as for `benchmark --policy`; both must have been benchmarked in this store.
    Several policies on one side, separated by commas, are seeds of one way of training. Differences
    that chance may explain are marked n.s., after Holm's correction over the benchmarks.

    \b
    Examples:
      evolvesearch compare laptop-1a2b3c4d/base laptop-1a2b3c4d
      evolvesearch compare laptop-1a2b3c4d/base laptop-1a2b3c4d --benchmarks nq,hotpotqa
      evolvesearch compare a-seed0/base a-seed0,a-seed1,a-seed2 --json
    """
    config = settings.config()
    with output(settings.json) as answer:
        from tasks.comparison import compare_policies

        store = settings.existing_store(config.store)
        sides = [
            [store.resolve_policy(name.strip()).digest for name in side.split(",")]
            for side in (first, second)
        ]
        found = compare_policies(
            store,
            *sides,
            benchmarks=[name.strip() for name in benchmarks.split(",") if name.strip()],
            across_settings=across_settings,
            confidence=config.benchmark.confidence,
        )
        document: dict[str, Any] = {
            "first": {"name": first, "policies": sides[0]},
            "second": {"name": second, "policies": sides[1]},
            "confidence": config.benchmark.confidence,
            "benchmarks": {name: asdict(comparison) for name, comparison in found.items()},
        }
        answer(document)
    if not settings.json:
        from deployments.cli.score_tables import comparison_table

        screen().print(comparison_table(first, second, document["benchmarks"]))
