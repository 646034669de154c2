"""`evolvesearch judge-agreement`: judges against each other and against people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from agents.errors import UsageError
from deployments.cli.console import output, screen
from deployments.cli.options import Settings, shared_options
from deployments.cli.rows import printable
from deployments.cli.tables import percent, plain_table

if TYPE_CHECKING:
    from evaluation.judging.agreement import Comparison
    from evaluation.judging.labelled import LabelledItem
    from evaluation.judging.marks import Mark, VerdictCache
    from flows.config import EvolutionConfig

PEOPLE = "people"
"""Name of the labels among the judges."""
_SHOWN = 20
"""Disagreements that a person is shown; --json gives all."""


@dataclass(frozen=True)
class _Judged:
    """A judge's identity, and its marks of all answers."""

    identity: str
    marks: list[Mark]


@click.command("judge-agreement")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--judge",
    "names",
    metavar="JUDGE",
    multiple=True,
    help="rules, api, api:MODEL or PROMPT:MODEL; can be repeated  [default: rules, and the "
    "configured one]",
)
@shared_options
def judge_agreement(settings: Settings, file: Path, names: tuple[str, ...]) -> None:
    """Compare judges with each other and with human labels.

    FILE is JSONL, JSON, CSV, TSV or Parquet with question, answers, predicted, perhaps label (what
    people say: true or false) and id. Models are asked as benchmark.judge.* says; verdicts are
    kept in the store.

    \b
    Examples:
      evolvesearch judge-agreement answers.jsonl
      evolvesearch judge-agreement answers.jsonl --judge rules --judge api:gpt-4o-mini
      evolvesearch judge-agreement answers.jsonl --judge webdancer:qwen --judge simpleqa:qwen \\
        --set benchmark.judge.api.url=http://localhost:8000/v1 --json
    """
    config = settings.config()
    with output(settings.json) as answer:
        from evaluation.judging.labelled import load_labelled

        rows = load_labelled(file)
        judged = _judged(config, rows, _chosen(config, names))
        verdicts = {name: [mark.correct for mark in each.marks] for name, each in judged.items()}
        if any(row.label is not None for row in rows):
            verdicts = {PEOPLE: [row.label for row in rows], **verdicts}
        if len(verdicts) < 2:
            raise UsageError(
                f"there is nothing to compare {next(iter(judged))} with: name another --judge, or "
                f"give answers in {file} a 'label'"
            )
        from evaluation.judging.agreement import compare_verdicts

        confidence = config.benchmark.confidence
        pairs = {
            (first, second): compare_verdicts(verdicts[first], verdicts[second], confidence)
            for first, second in combinations(verdicts, 2)
        }
        differing = [
            place
            for place in range(len(rows))
            if len({said[place] for said in verdicts.values()} - {None}) > 1
        ]
        document = {
            "file": str(file),
            "num_answers": len(rows),
            "num_labelled": sum(row.label is not None for row in rows),
            "confidence": confidence,
            "judges": [_judge_row(name, each) for name, each in judged.items()],
            "pairs": [
                {"first": first, "second": second, **asdict(pair)}
                for (first, second), pair in pairs.items()
            ],
            "disagreements": [_disagreement(rows[place], place, judged) for place in differing],
        }
        answer(document)
    if not settings.json:
        _show(screen(), document, pairs)


def _chosen(config: EvolutionConfig, names: Sequence[str]) -> list[str]:
    if names:
        return list(dict.fromkeys(names))
    return ["rules"] if config.benchmark.judge.kind == "rules" else ["rules", "api"]


def _judged(
    config: EvolutionConfig, rows: Sequence[LabelledItem], names: Sequence[str]
) -> dict[str, _Judged]:
    """What each judge said, by its name; all are opened before any is asked."""
    from evaluation.judging.opening import named_judge, open_judge

    chosen = {name: named_judge(name, config.benchmark.judge) for name in names}
    cache: VerdictCache | None = None
    if any(judge.kind == "api" for judge in chosen.values()):
        from tasks.artifacts import ArtifactStore
        from tasks.judge_cache import StoredVerdicts

        cache = StoredVerdicts(ArtifactStore.open(config.store).objects)
    with ExitStack() as stack:
        opened = {}
        for name, judge in chosen.items():
            opened[name] = open_judge(judge, cache)
            stack.callback(opened[name].close)
        items = [row.item for row in rows]
        return {name: _Judged(judge.identity, judge.mark(items)) for name, judge in opened.items()}


def _judge_row(name: str, judged: _Judged) -> dict[str, Any]:
    from evaluation.judging.marks import RULES, Grade

    marks = judged.marks
    verdicts = [mark.correct for mark in marks if mark.correct is not None]
    paid = [mark for mark in marks if not mark.cached]
    return {
        "name": name,
        "judge": judged.identity,
        **{f"num_{grade}": sum(mark.grade is grade for mark in marks) for grade in Grade},
        "accuracy": sum(verdicts) / len(verdicts) if verdicts else None,
        "num_by_rule": sum(mark.judge == RULES for mark in marks),
        "num_cached": sum(mark.cached for mark in marks),
        "tokens": sum(mark.tokens for mark in paid),
        "cost": sum(mark.cost for mark in paid),
    }


def _disagreement(row: LabelledItem, place: int, judged: Mapping[str, _Judged]) -> dict[str, Any]:
    marks = {name: each.marks[place] for name, each in judged.items()}
    return {
        "id": row.item.question_id,
        "question": row.item.question,
        "answers": list(row.item.answers),
        "predicted": row.item.predicted,
        "label": row.label,
        "marks": {name: {"correct": mark.correct, **asdict(mark)} for name, mark in marks.items()},
    }


def _show(
    console: Console, document: Mapping[str, Any], pairs: Mapping[tuple[str, str], Comparison]
) -> None:
    table = plain_table(f"Judges of {document['num_answers']:,} answers")
    for name in ("judge", "right, %", "right", "wrong", "not attempted", "unjudged", "cost"):
        table.add_column(name, justify="left" if name == "judge" else "right", no_wrap=True)
    for row in document["judges"]:
        grades = ("correct", "incorrect", "not_attempted", "unjudged")
        counts = [str(row[f"num_{grade}"]) for grade in grades]
        cost = f"{row['cost']:.4f}"
        table.add_row(printable(row["name"]), percent(row["accuracy"]), *counts, cost)
    console.print(table)
    table = plain_table(f"Agreement, with {document['confidence']:.0%} intervals")
    heads = ("judges", "answers", "agree, %", "kappa", "both right", "only first", "only second")
    for name in (*heads, "both wrong"):
        table.add_column(name, justify="left" if name == "judges" else "right", no_wrap=True)
    for (first, second), pair in pairs.items():
        confusion = pair.confusion
        table.add_row(
            printable(f"{first} / {second}"),
            str(confusion.total),
            _with_interval(pair.agreement, pair.ci_low, pair.ci_high, percent),
            _with_interval(pair.kappa, pair.kappa_low, pair.kappa_high, _two),
            *map(str, asdict(confusion).values()),
        )
    console.print(table)
    disagreements = document["disagreements"]
    for row in disagreements[:_SHOWN]:
        label = {} if row["label"] is None else {PEOPLE: _word(row["label"])}
        said = label | {name: _word(mark["correct"]) for name, mark in row["marks"].items()}
        verdicts = ", ".join(f"{name}: {word}" for name, word in said.items())
        told = f"{row['id']}: {row['question']} {row['predicted']!r} for {row['answers'][0]!r}"
        console.print(printable(f"{told} ({verdicts})"), soft_wrap=True)
    if len(disagreements) > _SHOWN:
        console.print(f"… and {len(disagreements) - _SHOWN:,} more disagreements: --json has all")


def _with_interval(value: float | None, low: float | None, high: float | None, word: Any) -> str:
    return "–" if value is None else f"{word(value)} ({word(low)} to {word(high)})"


def _two(value: float) -> str:
    return f"{value:.2f}"


def _word(correct: bool | None) -> str:
    return {True: "right", False: "wrong", None: "unjudged"}[correct]
