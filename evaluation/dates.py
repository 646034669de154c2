"""Dates however they are written: "4 July 1776", "July 4th, 1776" and "1776-07-04" are one."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass

_MONTHS = {
    name.lower(): number
    for names in (calendar.month_name, calendar.month_abbr)
    for number, name in enumerate(names)
    if name
} | {"sept": 9}
_WEEKDAYS = frozenset(
    name.lower() for names in (calendar.day_name, calendar.day_abbr) for name in names
)
_DIGIT = re.compile(r"[0-9]")
_ORDINAL = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)\b")
_ISO = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})")
_NUMERIC = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})")
_ERAS = {"bc": -1, "bce": -1, "ad": 1, "ce": 1}


@dataclass(frozen=True, slots=True)
class Date:
    """A date, or the part of one that was named.

    Attributes:
        year: The year, negative before Christ; None where none was named.
        month: The month from 1; None where only a year was named.
        day: The day of the month; None where none was named.
    """

    year: int | None
    month: int | None
    day: int | None


def parse_date(text: str) -> Date | None:
    """The date that a whole text is; None for any other text, and for a bare number.

    `03/04/1990` is read by some as March and by others as April: it is no date here, unless the
    day can only be one of both.
    """
    if _DIGIT.search(text) is None:
        return None
    lowered = text.strip().rstrip(".").lower()
    if match := _ISO.fullmatch(lowered):
        return _checked(int(match[1]), int(match[3]), int(match[4]))
    if match := _NUMERIC.fullmatch(lowered):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        readings = {_checked(year, second, first), _checked(year, first, second)} - {None}
        return readings.pop() if len(readings) == 1 else None
    words = _ORDINAL.sub(r"\1", lowered).replace(",", " ").split()
    words = [word.rstrip(".") if word.rstrip(".").isalpha() else word for word in words]
    words = [word for word in words if word not in ("of", "the")]
    if words and words[0] in ("in", "on"):
        del words[0]
    if len(words) > 1 and words[0] in _WEEKDAYS:
        del words[0]
    return _of_words(words)


def _of_words(words: list[str]) -> Date | None:
    words, year = _without_era(words)
    months = [_MONTHS[word] for word in words if word in _MONTHS]
    numbers = [word for word in words if word.isascii() and word.isdigit()]
    if len(months) + len(numbers) != len(words) or len(months) > 1:
        return None
    if not months:
        return None if numbers or year is None else Date(year, None, None)
    years = [int(number) for number in numbers if len(number) in (3, 4)]
    days = [int(number) for number in numbers if len(number) <= 2]
    if year is not None:
        years.append(year)
    if len(years) > 1 or len(days) > 1 or not years + days:
        return None
    return _checked(years[0] if years else None, months[0], days[0] if days else None)


def _without_era(words: list[str]) -> tuple[list[str], int | None]:
    """Takes out a year that an era stands beside ("44 BC", "AD 79"), and the era with it."""
    places = [place for place, word in enumerate(words) if word in _ERAS]
    if len(places) != 1:
        return words, None
    place = places[0]
    for beside in (place - 1, place + 1):
        if 0 <= beside < len(words) and re.fullmatch(r"[0-9]{1,4}", words[beside]):
            rest = [word for at, word in enumerate(words) if at not in (place, beside)]
            return rest, _ERAS[words[place]] * int(words[beside])
    return words, None


def _checked(year: int | None, month: int, day: int | None) -> Date | None:
    """The date, None where the calendar has no such one."""
    if not 1 <= month <= 12:
        return None
    # A day without a year may be that of a leap year.
    most = calendar.monthrange(2000 if year is None else year, month)[1]
    if day is not None and not 1 <= day <= most:
        return None
    return Date(year, month, day)
