"""A data set's folder: its Parquet file, and the card that says what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.errors import UsageError
from training.construction.formats import table
from training.construction.formats.conversation import Conversation
from training.construction.formats.files import Form, write_file

DATA_FILE = "data/train.parquet"

_COLUMNS = {
    "conversation_id": "names the conversation by its content",
    "question_id": "names the question by its text",
    "question": "the question",
    "answers": "right answers, the canonical one first",
    "final_answer": "the answer that the trajectory gave",
    "system": "the system text",
    "user": "the first user text, the question within it",
    "turns": "`text` as it was said, `response` as it came back, `given` (a part of the turn that "
    "the policy did not say), and read out of them thought, calls, observation and answer",
    "tools": "the tools' schemas, JSON",
    "rest": "other fields of the row it came from, JSON",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card has to say that the data do not.

    Attributes:
        title: The data set's name.
        licence: Identifier as the Hub knows it, such as `apache-2.0`; of the texts, pages quoted
            in observations included.
        source: Where the trajectories come from, a sentence or two.
        language: Language codes.
        funnel: Rows of the funnel's table (`training.construction.funnel.report`), in order;
            empty where nothing was filtered.
        counts: Further counts, by what is counted.
    """

    title: str
    licence: str
    source: str
    language: Sequence[str] = ("en",)
    funnel: Sequence[Mapping[str, Any]] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def card_text(conversations: Sequence[Conversation], facts: CardFacts) -> str:
    """The README of a data set: YAML front matter for the Hub, then the card for readers.

    Args:
        conversations: What is in it.
        facts: What the data do not say.

    Raises:
        UsageError: The licence or the source is empty.
    """
    for name in ("title", "licence", "source"):
        if not getattr(facts, name).strip():
            raise UsageError(f"a dataset card needs a {name}, got none")
    from huggingface_hub import DatasetCardData

    head = DatasetCardData(
        license=facts.licence,
        language=list(facts.language),
        pretty_name=facts.title,
        task_categories=["question-answering", "text-generation"],
        tags=["agent", "web-search", "trajectories", "react"],
        size_categories=[_size(len(conversations))],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": DATA_FILE}]}],
    )
    counts = {
        "trajectories": len(conversations),
        "questions": len({each.question_id for each in conversations}),
        "turns": sum(len(each.turns) for each in conversations),
        "tool calls": sum(len(turn.calls) for each in conversations for turn in each.turns),
        **facts.counts,
    }
    parts = [
        f"---\n{head.to_yaml()}\n---\n\n# {facts.title}\n\n{facts.source}\n",
        f"Licence: {facts.licence}. Observations quote pages of the web, whose texts keep the "
        "licences of their authors.\n",
        "## Counts\n" + markdown_table([{"what": k, "number": v} for k, v in counts.items()]),
        "## Columns\n"
        + markdown_table(
            [
                {"column": each.name, "type": _type(each.type), "is": _COLUMNS[each.name]}
                for each in table.SCHEMA
            ]
        ),
    ]
    if facts.funnel:
        parts.append("## Funnel\n" + markdown_table(facts.funnel))
    return "\n".join(parts)


def write_dataset(conversations: Sequence[Conversation], folder: Path, facts: CardFacts) -> None:
    """Writes a folder that can be pushed: `README.md` and the Parquet file.

    Raises:
        UsageError: The folder cannot be written, or the card lacks something.
    """
    text = card_text(conversations, facts)
    write_file(conversations, folder / DATA_FILE, Form.PARQUET)
    try:
        (folder / "README.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}") from error


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; the first row's keys are its heads."""
    if not rows:
        return ""
    names = list(rows[0])
    lines: list[list[Any]] = [names, ["---"] * len(names)]
    lines += [[row.get(name) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "" if value is None else " ".join(text.split()).replace("|", "\\|")


def _type(kind: Any) -> str:
    text = str(kind)
    return "list of structs" if text.startswith("list<") and "struct" in text else text


def _size(number: int) -> str:
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
    return next((name for most, name in bounds if number < most), "100K<n<1M")
