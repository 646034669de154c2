"""Texts of cells: files write answers as texts, numbers, lists, tables of aliases, or JSON."""

from __future__ import annotations

import json
import math
from typing import Any

ANSWER_SPLIT = "<|answer_split|>"
"""What DeepResearcher joins several right answers with."""


def text_of(value: Any) -> str:
    """One cell as text; a chat gives its first user turn, a flag `yes` or `no`.

    Raises:
        ValueError: The cell holds something else.
    """
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return value.strip()
        case int():
            return str(value)
        case float() if math.isnan(value):  # an empty cell, as pandas writes it
            return ""
        case float():
            # Spreadsheets write whole numbers with a fraction of nothing.
            return str(int(value)) if value.is_integer() else str(value)
        case [{"content": str(content)}, *_]:
            turns = [turn for turn in value if turn.get("role", "user") == "user"]
            return str(turns[0]["content"]).strip() if turns else content.strip()
    raise ValueError(f"expected a text, got {_shown(value)}")


def texts_of(value: Any) -> tuple[str, ...]:
    """All right answers of a cell, each of them right by itself; none for an empty cell.

    A text may join several by `<|answer_split|>` or be a JSON list of texts; an object may hold
    a list under `text` (SQuAD), or `value` and `aliases` (TriviaQA).

    Raises:
        ValueError: The cell holds something else.
    """
    match value:
        case None:
            return ()
        case str() if ANSWER_SPLIT in value:
            return tuple(part.strip() for part in value.split(ANSWER_SPLIT))
        case str() if value.lstrip().startswith("["):
            listed = _json_list(value)
            return (value.strip(),) if listed is None else listed
        case list() | tuple():
            return tuple(text_of(each) for each in value)
        case {"text": list(texts)}:
            return tuple(text_of(each) for each in texts)
        case {"value": main, **more}:
            return (text_of(main), *texts_of(more.get("aliases")))
    return (text_of(value),)


def joined_text(value: Any) -> str:
    """An answer of several parts as one text: `Ann: 3; Bob: 5`, or `Ann, Bob`.

    Raises:
        ValueError: A part is no text, number or flag.
    """
    match value:
        case dict():
            return "; ".join(f"{name}: {joined_text(each)}" for name, each in value.items())
        case list() | tuple():
            return ", ".join(joined_text(each) for each in value)
    return text_of(value)


def _json_list(text: str) -> tuple[str, ...] | None:
    """The texts of a JSON list; None for a text that only begins like one (`[sic] …`)."""
    try:
        values = json.loads(text)
    except ValueError:
        return None
    return tuple(text_of(each) for each in values) if isinstance(values, list) else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
