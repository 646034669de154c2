"""Answers to compare judges on, from a JSON file, with what people said of them where known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.errors import UsageError
from evaluation.judging.marks import JudgeItem

_LABELS: dict[str, bool] = {
    **dict.fromkeys(("correct", "right", "true", "yes", "1"), True),
    **dict.fromkeys(("incorrect", "wrong", "false", "no", "0", "not_attempted"), False),
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
        path: JSON lines, or one JSON list. Each entry is an object with `question` (text),
            `answers` (a text or a list of texts, each right), `predicted` (text, or null for none),
            and optionally `label` (what people say: true, false, `correct`, `incorrect`; null for
            nothing) and `id` (text). Other fields are let be.

    Raises:
        UsageError: The file cannot be read, holds no answer, or an entry is not as described.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the file of answers {path}: {error}") from error
    if text.lstrip().startswith("["):
        entries = list(enumerate(_json(text, str(path)), start=1))
        found = [_item(entry, f"{path} entry {number}", number) for number, entry in entries]
    else:
        found = [
            _item(_json(line, f"{path} line {number}"), f"{path} line {number}", number)
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip()
        ]
    if not found:
        raise UsageError(f"the file {path} holds no answer")
    return found


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{place}: not JSON ({error})") from error


def _item(row: Any, place: str, number: int) -> LabelledItem:
    if not isinstance(row, dict):
        raise UsageError(f"{place}: expected an object, got {type(row).__name__}")
    for name in ("question", "answers", "predicted"):
        if name not in row:
            raise UsageError(
                f"{place}: there is no {name!r}; expected question, answers and predicted"
            )
    question, answers, predicted = row["question"], row["answers"], row["predicted"]
    if not _is_text(question):
        raise UsageError(f"{place}: expected a text under 'question', got {question!r}")
    golds = [answers] if isinstance(answers, str) else answers
    if not isinstance(golds, list) or not golds or not all(map(_is_text, golds)):
        raise UsageError(f"{place}: expected texts under 'answers', got {answers!r}")
    if predicted is not None and not isinstance(predicted, str):
        raise UsageError(f"{place}: expected a text or null under 'predicted', got {predicted!r}")
    key = str(row.get("id", f"answer {number}"))
    item = JudgeItem(key, question.strip(), tuple(golds), predicted)
    return LabelledItem(item, _label(row.get("label"), place))


def _label(value: Any, place: str) -> bool | None:
    if value is None:
        return None
    label = _LABELS.get(str(value).strip().lower())
    if label is None:
        raise UsageError(f"{place}: expected true, false or null under 'label', got {value!r}")
    return label


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
