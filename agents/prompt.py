"""Prompt template files: their sections, and what they look like for one question.

A template file is Markdown with marked sections, each rendered by a sandboxed Jinja:

* `system` (may be absent): the system turn;
* `user`: the first user turn; it must show `{{ question }}`;
* `force`: what is said when a limit is near and the answer is asked for.

`{{ tools }}` is the tools' JSON schemas and `{{ today }}` the date.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from agents.errors import UsageError
from agents.sections import split_sections
from agents.tools.base import Tool

QUESTION_MARK = "\ue000question\ue001"
"""Stands in rendered text where the question belongs; private-use, so no prompt contains it."""

_SECTIONS = ("system", "user", "force")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt, the same for all questions of a run.

    Attributes:
        system: Text of the system turn, empty for none.
        user: Text of the first user turn, with `QUESTION_MARK` where the question goes.
        force: Text that asks for the answer.
    """

    system: str
    user: str
    force: str


def _source(name: str) -> str:
    builtin = Path(__file__).parent / "prompts" / f"{name}.md"
    path = builtin if re.fullmatch(r"\w+", name) and builtin.is_file() else Path(name)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(p.stem for p in builtin.parent.glob("*.md")))
        raise UsageError(
            f"agents.prompt is {name!r}, which is neither one of {known} nor a readable text "
            f"file ({error.__class__.__name__})"
        ) from error


def _sections(text: str, name: str) -> dict[str, str]:
    sections = split_sections(text)
    for key in sections:
        if key not in _SECTIONS:
            raise UsageError(
                f"prompt {name!r} has a section {key!r}; expected {', '.join(_SECTIONS)}"
            )
    for key in ("user", "force"):
        if not sections.get(key, "").strip():
            raise UsageError(f"prompt {name!r} lacks the section '<!-- section: {key} -->'")
    return sections


def tool_schemas(tools: Mapping[str, Tool]) -> str:
    """The tools' schemas as JSON text, in the order of the mapping."""
    shown: list[Mapping[str, Any]] = [tool.schema for tool in tools.values()]
    return "\n".join(json.dumps(schema, ensure_ascii=False) for schema in shown)


def load_prompt(name: str, tools: Mapping[str, Tool], today: str = "") -> Prompt:
    """Reads and renders a prompt template.

    Args:
        name: Name of a template of this package, or the path of a template file.
        tools: The tools whose schemas `{{ tools }}` shows.
        today: Date that `{{ today }}` shows; empty for the current date.

    Raises:
        UsageError: There is no such template, or it does not render.
    """
    sections = _sections(_source(name), name)
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    values = {
        "question": QUESTION_MARK,
        "tools": tool_schemas(tools),
        "today": today or datetime.date.today().isoformat(),
    }
    try:
        rendered = {
            key: environment.from_string(body).render(values) for key, body in sections.items()
        }
    except TemplateError as error:
        raise UsageError(f"prompt {name!r} does not render: {error}") from error
    if QUESTION_MARK not in rendered["user"]:
        raise UsageError(f"prompt {name!r} does not show {{{{ question }}}} in its user section")
    if any(QUESTION_MARK in rendered.get(key, "") for key in ("system", "force")):
        raise UsageError(f"prompt {name!r} shows the question outside its user section")
    return Prompt(rendered.get("system", ""), rendered["user"], rendered["force"])
