"""Questions from files of one's own: JSON lines with `question`, `answers` and perhaps `id`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from agents.errors import UsageError
from agents.trajectory import Question


def load_questions(path: Path, split: str) -> tuple[Question, ...]:
    """Reads a file of questions; blank lines are skipped.

    Args:
        path: A JSONL file. Each line is an object with `question` (text), `answers` (a text or a
            list of texts, each right) and optionally `id` (text, unique in the file).
        split: Split of the questions, also their family and the prefix of their ids.

    Raises:
        UsageError: The file cannot be read, holds no question, or a line is not as described.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the questions file {path}: {error}") from error
    questions: dict[str, Question] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        question = _parse(line, f"{path} line {number}", split)
        if question.question_id in questions:
            raise UsageError(f"{path} line {number}: this question or id stands twice")
        questions[question.question_id] = question
    if not questions:
        raise UsageError(f"the questions file {path} holds no question")
    return tuple(questions.values())


def _parse(line: str, place: str, split: str) -> Question:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{place}: not JSON ({error})") from error
    if not isinstance(row, dict):
        raise UsageError(f"{place}: expected an object, got {type(row).__name__}")
    text, answers = row.get("question"), row.get("answers")
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{place}: expected a text under 'question', got {text!r}")
    golds = [answers] if isinstance(answers, str) else answers
    if not isinstance(golds, list) or not golds or not all(map(_is_text, golds)):
        raise UsageError(f"{place}: expected texts under 'answers', got {answers!r}")
    key = row.get("id", hashlib.sha256(text.strip().encode()).hexdigest()[:12])
    if not isinstance(key, str) or not key:
        raise UsageError(f"{place}: expected a text under 'id', got {key!r}")
    return Question(
        question_id=f"{split}-{key}",
        text=text.strip(),
        answers=tuple(golds),
        family=split,
        split=split,
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
