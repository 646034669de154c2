"""Answers to compare judges on, from a file, with what people said of them where known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.errors import UsageError
from evaluation.judging.marks import JudgeItem
from evaluation.sources.answers import text_of, texts_of
from evaluation.sources.rows import Row, read_rows

_NEEDED = ("question", "answers", "predicted")
_LABELS: dict[str, bool] = {
    **dict.fromkeys(("correct", "right", "true", "yes", "1", "1.0"), True),
    **dict.fromkeys(("incorrect", "wrong", "false", "no", "0", "0.0", "not_attempted"), False),
}


@dataclass(frozen=True, slots=True)
class LabelledItem:
    """An answer of the file.

    Attributes:
        item: What judges are given.
        label: Whether people call it right; None where nobody was asked.
    """

    item: JudgeItem
    label: bool | None


def load_labelled(path: Path) -> list[LabelledItem]:
    """Reads a file of answers.

    Args:
        path: A file in any form of `read_rows`, whose rows have `question`, `answers` (a text or
            several, each right), `predicted` (empty or null for none), and optionally `label` (what
            people say: true, false, `correct`, `incorrect`; empty or null for nothing) and `id`.
            Other columns are let be.

    Raises:
        UsageError: The file cannot be read, holds no rows, or a row is not as described.
    """
    return [_item(row, number) for number, row in enumerate(read_rows(path), start=1)]


def _item(row: Row, number: int) -> LabelledItem:
    cells = row.values
    for name in _NEEDED:
        if name not in cells:
            raise UsageError(
                f"{row.place}: there is no {name!r}; expected {', '.join(_NEEDED)}, and perhaps "
                "label and id"
            )
    try:
        question = text_of(cells["question"])
        answers = tuple(text for text in texts_of(cells["answers"]) if text)
        predicted = text_of(cells["predicted"])
        key = text_of(cells.get("id"))
        label = _label(cells)
    except ValueError as error:
        raise UsageError(f"{row.place}: {error}") from error
    if not question or not answers:
        name = "answers" if question else "question"
        raise UsageError(f"{row.place}: {name!r} is empty")
    item = JudgeItem(key or f"answer {number}", question, answers, predicted or None)
    return LabelledItem(item, label)


def _label(cells: Mapping[str, Any]) -> bool | None:
    # Flags come as "yes" and "no", and spreadsheets write 1 as 1.0.
    text = text_of(cells.get("label")).lower()
    if not text:
        return None
    if text not in _LABELS:
        raise ValueError(f"expected true, false or nothing under 'label', got {text!r}")
    return _LABELS[text]
