"""The way in: questions of a file, a known set, or a set of the Hub, checked row by row."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agents.errors import UsageError
from agents.randomness import derive_seed
from agents.trajectory import Question
from evaluation.sources.fetch import fetch_rows, hub_set
from evaluation.sources.known import KNOWN, KnownSet
from evaluation.sources.names import benchmark_name, hops_of
from evaluation.sources.rows import Row, read_rows
from evaluation.sources.shapes import Draft, drafts_of

HUB = "hub:"
"""What a set of the Hub is named with: `hub:OWNER/NAME[/CONFIG][@SPLIT]`, or `hub:` and a name."""

_RESERVED = ("train", "gate")
"""Splits of a question set that are no benchmarks."""


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """Questions from elsewhere.

    Attributes:
        source: What was named.
        questions: All of them in their order; split and benchmark are the same, the family is
            the kind of question where that is known, else the benchmark.
        left_out: How many rows cannot be asked, by benchmark and reason.
        num_blank: How many blank right answers stood among others, by benchmark.
        known: The row of the table of known sets, None for others.
    """

    source: str
    questions: tuple[Question, ...]
    left_out: dict[str, dict[str, int]]
    num_blank: dict[str, int]
    known: KnownSet | None = None

    def by_benchmark(self) -> dict[str, tuple[Question, ...]]:
        """The questions by benchmark, in the order in which benchmarks first appear."""
        names = dict.fromkeys(question.split for question in self.questions)
        return {
            name: tuple(question for question in self.questions if question.split == name)
            for name in names
        }


def known_set(source: str) -> KnownSet | None:
    """The known set that a source names, None where it names a file or another set."""
    return KNOWN.get(benchmark_name(source.removeprefix(HUB)))


def check_source(source: str) -> None:
    """Checks, without reading or fetching anything, that a source can be there.

    Raises:
        UsageError: It is neither a file, nor a known set, nor the name of a set of the Hub.
    """
    if known_set(source) is not None:
        return
    if source.startswith(HUB):
        hub_set(source.removeprefix(HUB))
    elif not Path(source).expanduser().is_file():
        raise UsageError(
            f"there is no file {source}; expected a file, hub:OWNER/NAME, or one of the known "
            f"sets {', '.join(KNOWN)}"
        )


def read_questions(source: str, name: str = "") -> QuestionFile:
    """Reads all questions of a source.

    Args:
        source: A JSONL, JSON, CSV, TSV or Parquet file, the name of a known set, or
            `hub:OWNER/NAME[/CONFIG][@SPLIT]`.
        name: Split of all of its questions; empty: the benchmark that the row names, else the
            one whose form the file has, else the file's name.

    Raises:
        UsageError: There is no such source, it must be requested from its owner, or a row is not
            a question with a right answer; the message names the row.
        AssetError: It could not be fetched.
    """
    check_source(source)
    known = known_set(source)
    if known is not None:
        read = _read(source, fetch_rows(known.where, known), known.name, name)
        questions = _sample(read.questions, known.sample) if known.sample else read.questions
        return replace(read, questions=questions, known=known)
    if source.startswith(HUB):
        where = hub_set(source.removeprefix(HUB))
        title = where.config or where.repository.partition("/")[2]
        return _read(source, fetch_rows(where), title, name)
    return read_file(Path(source), name)


def read_file(path: Path, name: str = "") -> QuestionFile:
    """Reads all questions of a file; as `read_questions`, but nothing is ever fetched."""
    path = path.expanduser()
    return _read(str(path), read_rows(path), path.stem, name)


def _read(source: str, rows: Sequence[Row], title: str, name: str) -> QuestionFile:
    """Checks rows; `title` is what their benchmark is called where nothing else says it."""
    drafts, form = drafts_of(rows)
    names = [name or benchmark_name(draft.benchmark or form or title) for draft in drafts]
    questions: list[Question] = []
    taken: Counter[str] = Counter()
    left_out: dict[str, Counter[str]] = {}
    blank: Counter[str] = Counter()
    for row, draft, split in zip(rows, drafts, names, strict=True):
        if not split or (split in _RESERVED and not name):
            raise UsageError(
                f"{row.place}: a benchmark cannot be called {split!r}; give the file another name, "
                "or a column `benchmark`"
            )
        if draft.left_out:
            left_out.setdefault(split, Counter())[draft.left_out] += 1
            continue
        question = _question(row, draft, split)
        taken[question.question_id] += 1
        if (number := taken[question.question_id]) > 1:
            # The same question may stand twice; both are kept, each under an id of its own.
            question = replace(question, question_id=f"{question.question_id}~{number}")
        questions.append(question)
        blank[split] += sum(not answer for answer in draft.answers)
    if not questions:
        raise UsageError(f"{source}: none of its {len(rows)} rows can be asked")
    counts = {split: dict(reasons) for split, reasons in left_out.items()}
    return QuestionFile(source, tuple(questions), counts, dict(blank))


def _question(row: Row, draft: Draft, split: str) -> Question:
    answers = tuple(dict.fromkeys(answer for answer in draft.answers if answer))
    if not draft.text:
        raise UsageError(f"{row.place}: the question is blank")
    if not answers:
        raise UsageError(f"{row.place}: there is no right answer to {draft.text[:60]!r}")
    key = draft.key or hashlib.sha256(draft.text.encode()).hexdigest()[:12]
    return Question(
        question_id=f"{split}-{key}",
        text=draft.text,
        answers=answers,
        family=draft.kind or split,
        split=split,
        num_hops=draft.num_hops or hops_of(split, key),
    )


def _sample(questions: tuple[Question, ...], size: int) -> tuple[Question, ...]:
    """As many questions as the protocol takes, the same whoever draws them."""
    chosen = sorted(questions, key=lambda question: derive_seed("sample", question.question_id))
    kept = {question.question_id for question in chosen[:size]}
    return tuple(question for question in questions if question.question_id in kept)
