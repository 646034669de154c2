"""No dead knobs: every configuration field is read by code outside its own class."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from pydantic import BaseModel

from flows.config import EvolutionConfig

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("agents", "evaluation", "training", "tasks", "flows")


def _sections(model: type[BaseModel]) -> dict[type[BaseModel], set[str]]:
    """Every configuration class below `model`, with its fields."""
    found = {model: set(model.model_fields)}
    for field in model.model_fields.values():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= _sections(kind)
    return found


def _read_attributes() -> dict[str, set[str]]:
    """Names of attributes that are read, with the files and classes in which they are.

    A validator of the class itself is no reader: what it reads must matter to somebody else.
    """
    readers: dict[str, set[str]] = defaultdict(set)

    def walk(node: ast.AST, where: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, ast.ClassDef) else where
            if isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Load):
                readers[child.attr].add(inner)
            walk(child, inner)

    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            walk(ast.parse(path.read_text("utf-8")), "")
    return readers


def test_every_field_is_read_somewhere():
    readers = _read_attributes()
    dead = [
        f"{section.__name__}.{field}"
        for section, fields in _sections(EvolutionConfig).items()
        for field in fields
        if not readers[field] - {section.__name__}
    ]
    assert dead == []


def test_the_reader_search_can_fail():
    assert not _read_attributes()["num_fields_that_nobody_ever_wrote"]
