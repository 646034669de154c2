"""Numbers however they are written: "520,774", "520 774 people" and "0.520774 million" are one."""

from __future__ import annotations

import re
from decimal import Decimal

_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:[,\s]\d{3})+|\d+)(?:\.\d+)?")
_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty",
)  # fmt: skip
"""Numbers in words, each at its own place."""
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_UNITS = {
    **dict.fromkeys(("people", "inhabitants", "residents"), "people"),
    **dict.fromkeys(("square kilometres", "square kilometers", "km²", "km2", "sq km"), "km²"),
    **dict.fromkeys(("feet", "ft"), "feet"),
    **dict.fromkeys(("metres", "meters", "m"), "m"),
    **dict.fromkeys(("kilometres", "kilometers", "km"), "km"),
    **dict.fromkeys(("miles", "mi"), "miles"),
    **dict.fromkeys(("percent", "per cent", "%"), "%"),
    **dict.fromkeys(("years", "years old"), "years"),
}
"""Units that a number may carry, by how they are written."""


def parse_quantity(text: str) -> tuple[Decimal, str] | None:
    """Value and unit of a text that is one number; None for any other text.

    Returns:
        The value, and the unit as `_UNITS` names it, empty where the text has none.
    """
    words = text.strip().rstrip(".").strip()
    if match := _NUMBER.match(words):
        value, rest = Decimal(re.sub(r"[,\s]", "", match.group())), words[match.end() :]
        if rest and not rest[0].isspace() and rest[0] not in "%":
            return None
    else:
        first, _, rest = words.partition(" ")
        if first.lower() not in _WORDS:
            return None
        value = Decimal(_WORDS.index(first.lower()))
    named = rest.lower().split()
    if named and named[0] in _SCALES:
        value *= _SCALES[named.pop(0)]
    unit = " ".join(named)
    if unit and unit not in _UNITS:
        return None
    return value, _UNITS.get(unit, "")
