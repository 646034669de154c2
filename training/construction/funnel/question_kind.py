"""What kind of answer a question asks for, by its words."""

from __future__ import annotations

import re
from enum import StrEnum

_YES_NO = "is are was were does do did has have had can could will would should may"
_OPEN = "what which who whom whose where when why how identify name describe find"
_POLITE = re.compile(r"\b(?:can|could|would|will) you (?:please )?", re.IGNORECASE)
_HEAD = re.compile(
    rf"(?:^|[,;:.—–]\s*|\n\s*)(?:and\s+|but\s+|in\s+|on\s+|at\s+|from\s+|to\s+|by\s+|of\s+|under\s+)?"
    rf"(?P<head>{'|'.join(f'{_YES_NO} {_OPEN}'.split())})\b",
    re.IGNORECASE,
)
_COUNT = re.compile(r"\bhow (?:many|much)\b|\b(?:number|percentage|percent)\b", re.IGNORECASE)
_YEAR = re.compile(r"\b(?:what|which) year\b|\bthe year (?:that|of|in which)\b", re.IGNORECASE)


class QuestionKind(StrEnum):
    """What an answer must state."""

    YES_NO = "yes_no"
    COUNT = "count"
    YEAR = "year"
    PERSON = "person"
    OTHER = "other"


def kind_of(question: str) -> QuestionKind:
    """The kind of a question; `OTHER` where its words do not tell."""
    asked = _POLITE.sub("", question.strip())
    # A question may be led up to by sentences of its own.
    *_, last = [part for part in re.split(r"(?<=[.!])\s+(?=[A-Z])", asked) if "?" in part] or [
        asked
    ]
    heads = [match["head"].lower() for match in _HEAD.finditer(last)]
    head = heads[0] if heads else ""
    if head in _YES_NO.split():
        return QuestionKind.YES_NO
    if _YEAR.search(last):
        return QuestionKind.YEAR
    if head in ("how", "what", "which") and _COUNT.search(last):
        return QuestionKind.COUNT
    return QuestionKind.PERSON if head in ("who", "whom") else QuestionKind.OTHER
