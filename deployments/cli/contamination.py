"""`evolvesearch contamination`: which test questions are among the training questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from deployments.cli.console import output, screen
from deployments.cli.options import Settings, shared_options
from deployments.cli.tables import percent, plain_table

if TYPE_CHECKING:
    from agents.trajectory import Question
    from evaluation.contamination.report import ContaminationReport

_SHOWN = 5
"""Examples that a person is shown; --json gives all."""


@click.command()
@click.argument("run", required=False)
@click.option(
    "--train",
    metavar="FILE",
    help="Training questions: a file, a known set or hub:OWNER/NAME, in place of the run's.",
)
@click.option(
    "--test",
    metavar="FILE",
    help="Test questions, likewise, in place of the run's gate and benchmarks.",
)
@click.option(
    "--similarity",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    default=0.8,
    show_default=True,
    help="Least similarity of two questions that are nearly the same (Jaccard, five characters).",
)
@shared_options
def contamination(
    settings: Settings, run: str | None, train: str | None, test: str | None, similarity: float
) -> None:
    """Find test questions that are among the training questions.

    RUN is a name from `evolvesearch runs`; without one, and without both files, the run of these
    settings, else the newest. Questions are compared to the letter, without case, accents and
    punctuation, by their chains of facts, and by how nearly they are the same text.

    \b
    Examples:
      evolvesearch contamination
      evolvesearch contamination laptop-1a2b3c4d --test test.parquet
      evolvesearch contamination --train train.jsonl --test test.parquet --json
    """
    with output(settings.json) as answer:
        compared = _compared(settings, run, train, test)
        from evaluation.contamination.report import report_contamination

        report = report_contamination(compared.train, compared.test, similarity)
        gate = report_contamination(compared.gate, compared.benchmarks, similarity)
        document = {
            "train": compared.train_name,
            "test": compared.test_name,
            "num_train": report.num_train,
            "similarity": similarity,
            "sets": _sets(report),
            "overlaps": _overlaps(report),
            "gate": {"sets": _sets(gate), "overlaps": _overlaps(gate)} if compared.gate else None,
        }
        answer(document)
    if not settings.json:
        _show(screen(), document)


@dataclass(frozen=True)
class _Compared:
    """Questions to compare, and where they are from; `gate` is a run's, with its benchmarks."""

    train: Sequence[Question]
    test: Sequence[Question]
    train_name: str
    test_name: str
    gate: Sequence[Question] = ()
    benchmarks: Sequence[Question] = ()


def _compared(
    settings: Settings, run: str | None, train: str | None, test: str | None
) -> _Compared:
    from evaluation.sources.load import read_questions

    trained = read_questions(train, "train").questions if train else ()
    tested = read_questions(test).questions if test else ()
    if train and test:
        return _Compared(trained, tested, train, test)
    name, known = _questions_of(settings, run)
    gate = [question for question in known if question.split == "gate"]
    benchmarks = [question for question in known if question.split not in ("train", "gate")]
    return _Compared(
        train=trained or [question for question in known if question.split == "train"],
        test=tested or [*gate, *benchmarks],
        train_name=train or name,
        test_name=test or name,
        gate=gate,
        benchmarks=tested or benchmarks,
    )


def _questions_of(settings: Settings, run: str | None) -> tuple[str, list[Question]]:
    """The questions of a run, and what they are called."""
    from deployments.cli.stage_inputs import find_inputs
    from tasks.references import resolve

    config = settings.config()
    store = settings.existing_store(config.store)
    reference = find_inputs(config, run, ("questions",), {})["questions"]
    ref = resolve(store, "questions", reference)
    return f"run {store.manifest(ref).run}", store.read_questions(ref)


def _sets(report: ContaminationReport) -> dict[str, dict[str, Any]]:
    return {
        name: {**asdict(row), "num_overlapping": row.num_overlapping}
        for name, row in report.benchmarks.items()
    }


def _overlaps(report: ContaminationReport) -> list[dict[str, Any]]:
    return [
        {
            "set": overlap.test.split,
            "kind": overlap.kind.value,
            "similarity": overlap.similarity,
            "same_answer": overlap.same_answer,
            "num_train": overlap.num_train,
            "test_id": overlap.test.question_id,
            "test": overlap.test.text,
            "train_id": overlap.train.question_id,
            "train": overlap.train.text,
        }
        for overlap in report.overlaps
    ]


def _show(console: Console, document: Mapping[str, Any]) -> None:
    number = f"{document['num_train']:,}"
    console.print(_table(f"Among {number} training questions of {document['train']}", document))
    _show_examples(console, document["overlaps"])
    if (gate := document["gate"]) and gate["overlaps"]:
        console.print(_table("Among the gate's questions", gate))
        _show_examples(console, gate["overlaps"])


def _table(title: str, document: Mapping[str, Any]) -> Table:
    table = plain_table(title)
    table.add_column("test set", no_wrap=True)
    headings = ("questions", "exact", "same words", "same chain", "nearly", "in all", "%")
    for heading in (*headings, "same answer", "facts seen"):
        table.add_column(heading, justify="right")
    columns = ("num_questions", "exact", "normalised", "same_chain", "near", "num_overlapping")
    for name, row in document["sets"].items():
        share = row["num_overlapping"] / max(1, row["num_questions"])
        more = (f"{row['same_answer']:,}", f"{row['facts_seen']:,}")
        table.add_row(name, *(f"{row[column]:,}" for column in columns), percent(share), *more)
    return table


def _show_examples(console: Console, overlaps: Sequence[Mapping[str, Any]]) -> None:
    for row in _varied(overlaps):
        alike = f" {row['similarity']:.2f}" if row["kind"] == "near" else ""
        answer = "same answer" if row["same_answer"] else "another answer"
        kind = row["kind"].replace("_", " ")
        console.print(f"{row['set']}, {kind}{alike}, {answer}:", style="bold", markup=False)
        console.print(f"  test   {row['test']}", markup=False)
        console.print(f"  train  {row['train']}", markup=False)
    if len(overlaps) > _SHOWN:
        console.print(f"{_SHOWN} of {len(overlaps):,} shown (--json: all)")


def _varied(overlaps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A few overlaps, of every kind at least one."""
    first = {row["kind"]: index for index, row in reversed(list(enumerate(overlaps)))}
    chosen = set(first.values())
    for index in range(len(overlaps)):
        if len(chosen) >= _SHOWN:
            break
        chosen.add(index)
    return [overlaps[index] for index in sorted(chosen)]
