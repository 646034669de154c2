"""Which link first: how likely a link leads to a page worth having, from 0 to 1.

    score = place · kept · (0.35 + 0.35 anchor + 0.10 position + 0.20 path) / (1 + 0.1 depth)

- *place*: 1 in running text, 0.8 in lists and tables, 0.7 among related pages, 0.4 in menus, 0.2 in
  the foot of a page.
- *kept*: (k + 2) / (v + 2), where of v visited addresses of the target's template (its folder,
  without numbers) k were kept: what a site's folders are worth is learnt on the way.
- *anchor*: how much the link's text says: nothing where it is empty, a number or `read more`, then
  a third a word up to three words; half of that for whole sentences. With words of focus, half of
  it is the share of them in text, surroundings and address.
- *position*: 1 / (1 + n / 25) for the n-th link of a page.
- *path*: share of the source's folders that the target lies in, too.
- *depth*: links from a root to the source.

An address that several pages link to gets a tenth of each further score on top:
s + (1 − s) · s' / 10.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from agents.fetching.outline import Place
from training.construction.crawl.addresses import path_of

ROOT_SCORE: Final = 1.0

_PLACES: Final[dict[Place, float]] = {
    "text": 1.0,
    "list": 0.8,
    "related": 0.7,
    "menu": 0.4,
    "footer": 0.2,
}
_SAYS_NOTHING_TEXT = """
here, click here, this, this page, link, more, read more, learn more, see more, more info, details,
next, previous, prev, back, top, home, edit, source, download, share, print, login, log in, sign in,
sign up, register, permalink, reply, comments, full article, continue reading, older, newer
"""
_SAYS_NOTHING = frozenset(" ".join(_SAYS_NOTHING_TEXT.split()).split(", "))
_WORD = re.compile(r"\w+")
_FEW_WORDS = 3
_SENTENCE_WORDS = 12


def link_score(
    target: str,
    source: str,
    anchor: str,
    context: str,
    place: Place,
    position: int,
    depth: int,
    kept: float,
    focus: Sequence[str] = (),
) -> float:
    """The score of a link.

    Args:
        target: Canonical address that it leads to.
        source: Canonical address of its page.
        anchor: Its text.
        context: The words around it.
        place: Where it stands.
        position: Links before it on its page.
        depth: Links from a root to its page.
        kept: Smoothed share of the target's template that was kept.
        focus: Words that make a link worth more.
    """
    said = anchor_score(anchor)
    if focus:
        text = f"{anchor} {context} {target}".lower()
        said = said / 2 + sum(word.lower() in text for word in focus) / len(focus) / 2
    worth = (
        0.35
        + 0.35 * said
        + 0.10 / (1 + position / 25)
        + 0.20 * _shared_folders(path_of(target), path_of(source))
    )
    return _PLACES[place] * kept * worth / (1 + 0.1 * depth)


def anchor_score(anchor: str) -> float:
    """How much the text of a link says, from 0 to 1."""
    words = _WORD.findall(anchor.lower())
    if not words or " ".join(words) in _SAYS_NOTHING or all(word.isdigit() for word in words):
        return 0.0
    return 0.5 if len(words) > _SENTENCE_WORDS else min(len(words), _FEW_WORDS) / _FEW_WORDS


def place_rank(place: Place) -> float:
    """How much a link's place speaks for it, from 0 to 1."""
    return _PLACES[place]


def joined_score(score: float, other: float) -> float:
    """The score of an address that a further link leads to."""
    high, low = max(score, other), min(score, other)
    return high + (1 - high) * low / 10


def _shared_folders(target: str, source: str) -> float:
    theirs, ours = target.split("/")[1:-1], source.split("/")[1:-1]
    if not ours:
        return 1.0
    shared = 0
    for first, second in zip(theirs, ours, strict=False):
        if first != second:
            break
        shared += 1
    return shared / len(ours)
