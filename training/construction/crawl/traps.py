"""Addresses that a site makes up without end: loops, calendars, permutations of queries.

The shape of one address tells some; the others by how many of one shape there are already.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.visits import Reason

MAX_URL_CHARS = 800
MAX_SEGMENTS = 16
MAX_PARAMETERS = 12

# What these names end in is no page, whatever the server calls it.
_FILES = re.compile(
    r"\.(?:jpe?g|png|gif|svg|webp|avif|ico|bmp|tiff?|mp[34]|m4[av]|og[gv]|wav|flac|avi|mov|webm|mkv"
    r"|zip|gz|bz2|xz|tgz|tar|rar|7z|exe|msi|dmg|iso|apk|deb|rpm|jar|css|js|mjs|map|woff2?|ttf|otf"
    r"|eot|docx?|xlsx?|pptx?|odt|ods|odp|epub|mobi|csv|tsv|parquet|rss|atom|ics|torrent|bin)$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
_DAY = re.compile(
    r"(?:1[5-9]|2[01])\d\d[-/_.](?:0?[1-9]|1[0-2])(?:[-/_.](?:0?[1-9]|[12]\d|3[01]))?"
)
_ENDS_IN_DATE = re.compile(rf"(?:^|/)(?:{_DAY.pattern})/?$")
_DATE_NAMES_TEXT = """
date day month year week cal calendar ical from to start end since until tribe-bar-date
"""
_DATE_NAMES = frozenset(_DATE_NAMES_TEXT.split())


def shape_problem(url: str) -> Reason | None:
    """What is wrong with a canonical address by itself, None where nothing is."""
    parts = urlsplit(url)
    segments = [segment for segment in parts.path.split("/") if segment]
    if len(url) > MAX_URL_CHARS or len(segments) > MAX_SEGMENTS:
        return Reason.TOO_LONG
    if parts.query and parts.query.count("&") >= MAX_PARAMETERS:
        return Reason.TOO_LONG
    if repeats(segments):
        return Reason.LOOPING_PATH
    if _FILES.search(parts.path):
        return Reason.NOT_HTML
    return None


def repeats(segments: list[str]) -> bool:
    """Whether a path goes round: one to three names three times in a row, or one four times."""
    for size in (1, 2, 3):
        for start in range(len(segments) - 3 * size + 1):
            first = segments[start : start + size]
            second = segments[start + size : start + 2 * size]
            if first == second == segments[start + 2 * size : start + 3 * size]:
                return True
    return any(segments.count(segment) >= 4 for segment in set(segments))


def is_dated(url: str) -> bool:
    """Whether an address says a date and nothing else: its path ends in one, or its query has one.

    A date that is followed by a name (`/2024/05/01/a-story`) is that of a page, not a calendar's.
    """
    parts = urlsplit(url)
    if _ENDS_IN_DATE.search(parts.path):
        return True
    for parameter in parts.query.split("&"):
        name, _, value = parameter.partition("=")
        if name.lower() in _DATE_NAMES and any(c.isdigit() for c in value):
            return True
        if _DAY.fullmatch(value):
            return True
    return False


def template_of(url: str) -> str:
    """An address without its numbers and the values of its query: what a site's pages share."""
    parts = urlsplit(url)
    names = "&".join(sorted(p.partition("=")[0] for p in parts.query.split("&") if p))
    return f"{parts.netloc}{_NUMBER.sub('0', parts.path)}?{_NUMBER.sub('0', names)}"


def count_problem(url: str, config: CrawlConfig, counted: Callable[[str], int]) -> Reason | None:
    """What is wrong with one more address of its shapes, None where nothing is.

    Args:
        url: Canonical address, not seen before.
        config: The limits.
        counted: Counts an address of a shape, and says how many there are now.
    """
    parts = urlsplit(url)
    template = template_of(url)
    if is_dated(url) and counted(f"date {template}") > config.max_dates:
        return Reason.CALENDAR
    if parts.query and counted(f"query {parts.netloc}{parts.path}") > config.max_queries_per_path:
        return Reason.ENDLESS_QUERY
    if _NUMBER.search(parts.path) and counted(f"shape {template}") > config.max_per_template:
        return Reason.SAME_TEMPLATE
    return None
