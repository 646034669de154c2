"""`evolvesearch benchmark`: a policy's scores on held-out questions, built or from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from agents.errors import UsageError
from deployments.cli.console import output, screen
from deployments.cli.options import Settings, store_exists
from deployments.cli.stages import run_stage, stage_options
from deployments.cli.tables import plain_table
from tasks.policies import API_PREFIX

if TYPE_CHECKING:
    from evaluation.sources.load import QuestionFile
    from flows.config import EvolutionConfig


@click.command()
@click.option("--benchmarks", metavar="NAME,NAME", help="Only these benchmarks.")
@click.option(
    "--benchmarks-file",
    metavar="F",
    help="Questions in place of the built ones: a JSONL, JSON, CSV, TSV or Parquet file, a known "
    "set such as simpleqa, or hub:OWNER/NAME[/CONFIG][@SPLIT].",
)
@click.option(
    "--search",
    metavar="NAME",
    help="Who answers searches: local, or serper, brave, tavily, searxng, retriever.",
)
@click.option(
    "--corpus",
    metavar="FILE",
    multiple=True,
    help="JSONL of pages (title, text) that the local search gets to see; can be repeated.",
)
@click.option(
    "--dry-run", is_flag=True, help="Only count the questions and their flaws; needs no model."
)
@click.option(
    "--dev-file", metavar="F", help="With --dry-run: count questions that stand in this file, too."
)
@stage_options("questions", "policy", iteration=0)
def benchmark(
    settings: Settings,
    benchmarks: str | None,
    benchmarks_file: str | None,
    search: str | None,
    corpus: tuple[str, ...],
    dry_run: bool,
    dev_file: str | None,
    **options: Any,
) -> None:
    """Score a policy on the held-out benchmarks, or on questions from elsewhere.

    The very runner of training asks them. In a store without any run, questions and base policy are
    made first.

    A file needs columns for the question and its right answers (`question`, `answers`); `id`,
    `benchmark`, `aliases`, `hops` and `type` are read where they are there. At most
    benchmark.num_questions of each benchmark are asked.

    \b
    Examples:
      evolvesearch benchmark --policy laptop-1a2b3c4d/base
      evolvesearch benchmark --policy ./my-model --benchmarks more_hops,unseen_kind
      evolvesearch benchmark --policy hub:Qwen/Qwen2.5-0.5B-Instruct
      evolvesearch benchmark --policy openai:gpt-4o-mini --set engine.openai.budget=5 \\
          --set engine.openai.input_price=0.15 --set engine.openai.output_price=0.6
      evolvesearch benchmark --set benchmark.num_attempts=3 --set benchmark.temperature=0.6
      evolvesearch benchmark --benchmarks-file test.parquet --dry-run --json
      evolvesearch benchmark --benchmarks-file test.parquet --benchmarks nq,hotpotqa \\
          --policy smollm2-135m-instruct --search local --corpus wiki.jsonl.gz \\
          --set web.embedded=false --set benchmark.num_questions=200
    """
    given = [("benchmark.file", benchmarks_file), ("web.search.provider", search)]
    overrides = [f"{key}={json.dumps(value)}" for key, value in given if value is not None]
    if benchmarks is not None:
        names = [name.strip() for name in benchmarks.split(",")]
        overrides.append(f"benchmark.names={json.dumps(names)}")
    policy = options["policy"] or ""
    if policy.startswith(API_PREFIX):
        model = json.dumps(policy.removeprefix(API_PREFIX))
        overrides += [f"engine.openai.model={model}", 'engine.kind="openai"']
        overrides += ["engine.deterministic=false", "engine.num_replicas=1"]
    if corpus:
        overrides.append(f"web.corpus={json.dumps(corpus)}")
    settings = replace(settings, overrides=(*settings.overrides, *overrides))
    config = settings.config()
    if config.benchmark.file and options["questions"] is not None:
        raise UsageError(
            f"questions are named twice, by --questions and by the file {config.benchmark.file}"
        )
    if dev_file is not None and not dry_run:
        raise UsageError("--dev-file is read by --dry-run alone")
    if dry_run:
        _count(settings, config, dev_file, options)
        return
    if config.benchmark.file:
        options["questions"] = _import(settings, config, options)
    run_stage(
        "benchmark",
        "benchmark",
        ("questions", "policy"),
        settings=settings,
        construct_first=options["questions"] is None,
        **options,
    )


def _import(settings: Settings, config: EvolutionConfig, options: Mapping[str, Any]) -> str:
    """Takes the file's questions into the store; returns the reference to them."""
    if options["policy"] is None and not store_exists(config.store.uri):
        raise UsageError(
            f"no store at {config.store.uri} to take a policy from: name one, such as "
            "--policy smollm2-135m-instruct"
        )
    with output(settings.json):
        from tasks.artifacts import ArtifactStore
        from tasks.benchmark_files import benchmark_questions
        from tasks.references import reference_of

        store = ArtifactStore.open(config.store)
        run = options["name"] or config.default_run_name
        imported = benchmark_questions(store, config, run, questions="")
        counts = store.manifest(imported).metadata["benchmarks"]
    _tell_flaws(config.benchmark.file, counts)
    return reference_of(imported)


_FLAWS = {
    "num_duplicates": "stand twice",
    "num_long_golds": "have only long right answers",
    "num_yes_no": "are answered by yes or no",
    "num_left_out": "are left out",
}


def _tell_flaws(file: str, counts: Mapping[str, Mapping[str, Any]]) -> None:
    """Says on standard error what is wrong with a file, in one line; nothing where all is well."""
    totals = {key: sum(row[key] for row in counts.values()) for key in _FLAWS}
    found = [f"{number:,} {_FLAWS[key]}" for key, number in totals.items() if number]
    if found:
        click.echo(f"of the questions of {file}, {', '.join(found)} (see --dry-run)", err=True)


def _count(
    settings: Settings, config: EvolutionConfig, dev_file: str | None, options: Mapping[str, Any]
) -> None:
    """Reports on the questions, without a model, and without a store where a file is named."""
    from evaluation.sources.load import read_questions
    from tasks.benchmark_report import file_report

    with output(settings.json) as answer:
        read = (
            read_questions(config.benchmark.file)
            if config.benchmark.file
            else _stored_questions(config, options)
        )
        dev = read_questions(dev_file, "dev").questions if dev_file is not None else ()
        document = file_report(read, config.benchmark, dev)
        answer(document)
    if not settings.json:
        _show(screen(), document, with_dev=dev_file is not None)


def _stored_questions(config: EvolutionConfig, options: Mapping[str, Any]) -> QuestionFile:
    """The questions that a run has, or that a reference names."""
    from deployments.cli.stage_inputs import find_inputs
    from evaluation.sources.load import QuestionFile
    from tasks.artifacts import ArtifactStore
    from tasks.references import resolve
    from tasks.selection import held_out_sets

    named = {"questions": options["questions"]}
    found = find_inputs(config, options["run"] or options["name"], ("questions",), named)
    store = ArtifactStore.open(config.store)
    stored = store.read_questions(resolve(store, "questions", found["questions"]))
    held_out = [question for asked in held_out_sets(stored).values() for question in asked]
    return QuestionFile(found["questions"], tuple(held_out), {}, {})


_COLUMNS = {
    "questions": "num_questions",
    "asked": "num_asked",
    "duplicates": "num_duplicates",
    "only long golds": "num_long_golds",
    "longest, words": "longest_gold_words",
    "yes or no": "num_yes_no",
    "left out": "num_left_out",
}


def _show(console: Console, document: Mapping[str, Any], with_dev: bool) -> None:
    columns = {**_COLUMNS, "in the dev file": "num_in_dev"} if with_dev else _COLUMNS
    table = plain_table(f"Questions of {document['source']}")
    table.add_column("benchmark")
    for heading in columns:
        table.add_column(heading, justify="right")
    for name, row in document["benchmarks"].items():
        table.add_row(name, *(f"{row[key]:,}" for key in columns.values()))
    console.print(table)
    for name, row in document["benchmarks"].items():
        for reason, number in row["left_out"].items():
            console.print(f"{name}: {number:,} left out: {reason}")
    if known := document["known"]:
        console.print(f"{known['owner']}, {known['licence']}, {known['home']}", soft_wrap=True)
        if known["problem"]:
            console.print(f"not the set as it was: {known['problem']}")
    console.print(f"{document['num_asked']:,} of {document['num_questions']:,} would be asked.")
