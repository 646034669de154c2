"""Template files in sections: Markdown whose parts are marked `<!-- section: name -->`."""

from __future__ import annotations

import re

_SECTION = re.compile(r"^<!-- section: (\w+) -->[ \t]*\n", re.MULTILINE)


def split_sections(text: str) -> dict[str, str]:
    """The sections of a template file by name, in order; what stands before the first is left."""
    parts = _SECTION.split(text)
    return {key: body.strip("\n") for key, body in zip(parts[1::2], parts[2::2], strict=True)}
