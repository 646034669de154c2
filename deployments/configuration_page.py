"""Writes `docs/configuration.md`, every configuration key, from the configuration's own classes.

Run as `python -m deployments.configuration_page > docs/configuration.md`; a test holds the page
to the code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from flows.config import EvolutionConfig

_HEAD = """# Configuration

Every key, its type, its default and its effect. This page is generated from the code by
`python -m deployments.configuration_page`.

A profile is a TOML file of overrides, `[section]` by `[section]`: those in
[deployments/profiles](../deployments/profiles) are known by name, others by their path. On top of
it, `--set` overrides single keys; its values are TOML, or plain text:

```
evolvesearch run --profile my.toml --set iterations=3 --set 'web.corpus=["pages.jsonl"]'
```

An unknown key, a wrong type or a value out of bounds ends the command with one line and exit
code 2, before anything runs.
"""


def render() -> str:
    """The page as Markdown."""
    sections = "\n".join(_section(name, doc, model) for name, doc, model in _models())
    return f"{_HEAD}\n{sections}"


def _models(
    model: type[BaseModel] = EvolutionConfig, name: str = "", doc: str = "The run itself."
) -> Iterator[tuple[str, str, type[BaseModel]]]:
    yield name, doc, model
    for key, field in model.model_fields.items():
        if inner := _model_of(field):
            yield from _models(inner, f"{name}.{key}".lstrip("."), field.description or "")


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _section(name: str, doc: str, model: type[BaseModel]) -> str:
    title = f"## `{name}`" if name else "## Top level"
    rows = [
        f"| `{key}` | {_type(field)} | {_default(field)} | {_one_line(field.description or '')} |"
        for key, field in model.model_fields.items()
        if _model_of(field) is None
    ]
    table = ["| Key | Type | Default | Effect |", "|---|---|---|---|", *rows, ""] if rows else []
    return "\n".join([title, _one_line(doc), "", *table])


def _type(field: FieldInfo) -> str:
    text = field.annotation.__name__ if isinstance(field.annotation, type) else ""
    if not text or get_args(field.annotation):
        text = str(field.annotation).replace("typing.", "")
    bounds = [
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if getattr(rule, name, None) is not None
    ]
    return " ".join([f"`{text}`".replace("|", "\\|"), ", ".join(bounds)]).strip()


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    return "required" if value is PydanticUndefined else f"`{value!r}`"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(render())
