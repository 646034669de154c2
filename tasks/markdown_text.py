"""Text of unknown origin inside Markdown: shown as it is, never obeyed.

Pages, answers and error messages may hold anything. Prefect's newer interface renders Markdown with
raw HTML in it and draws every code block that is called mermaid, so that an unescaped `<code
class="language-mermaid">` would be a chart, an image a request to somebody else's server, and a
line of backquotes the end of the block that it stands in.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~<>&$^=:-])")
_FENCE = re.compile(r"`{3,}")
# Control characters, and those that reverse or hide what follows them.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_NOT_OF_A_LABEL = re.compile(r"[^\w .,=+/%-]")


def inline(text: str) -> str:
    """A text in one line, every character of it itself; also fit for a cell of a table."""
    # Backslashes, not entities: of the two interfaces that Prefect comes with, the older one shows
    # an entity as it is written.
    return _SPECIAL.sub(r"\\\1", " ".join(_seen(text).split()))


_BLOCK_WIDTH = 66
"""Characters of a line that Prefect's pages have room for; blocks of code are not wrapped there."""


def block(text: str, most: int) -> str:
    """A text as a block of code, whatever it holds; its long lines are wrapped.

    Args:
        text: The text.
        most: Characters to show at most; what was left out is counted.
    """
    shown = _seen(text)
    if len(shown) > most:
        shown = f"{shown[:most]}\n… {len(shown) - most:,} more characters"
    shown = "\n".join(_wrapped(line) for line in shown.split("\n"))
    longest = max((len(found) for found in _FENCE.findall(shown)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _wrapped(line: str) -> str:
    pieces = textwrap.wrap(
        line,
        _BLOCK_WIDTH,
        expand_tabs=False,
        replace_whitespace=False,
        drop_whitespace=False,
        break_on_hyphens=False,
    )
    return "\n".join(pieces)


def label(text: str) -> str:
    """A text for an axis of a mermaid chart, in its quotes."""
    return f'"{_NOT_OF_A_LABEL.sub(" ", _seen(text)).strip() or "-"}"'


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as a table, with the columns of the first; cells are escaped."""
    if not rows:
        return ""
    columns = list(rows[0])
    lines = [
        _line(columns),
        _line_of(["---"] * len(columns)),
        *(_line([str(row.get(column, "")) for column in columns]) for row in rows),
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return _line_of([inline(cell) for cell in cells])


def _line_of(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _seen(text: str) -> str:
    """A text without what cannot be seen; every end of a line is a newline."""
    return _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
