"""Goal-directed reading: the sentences of a page that are nearest to what is looked for."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\s])|\n+")
_WORD = re.compile(r"\w+")
# A budget of words alone would let a text without spaces through whole, whatever its length.
_CHARS_OF_A_WORD = 30
_STEM_LETTERS = 6
"""Words that begin alike count as the same: `country` and `countries`, `populated`, …."""


def _stems(text: str) -> set[str]:
    words = _WORD.findall(text.lower())
    return {word[:_STEM_LETTERS] for word in words if len(word) > 2 or word.isdigit()}


def split_sentences(text: str) -> list[str]:
    """Splits text at the ends of sentences and lines."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]


def select_passages(text: str, goal: str, max_words: int) -> str:
    """Chooses what to show of a page for a goal.

    The first sentence says what the page is about and is always kept. Of the others, those that
    share most words with the goal are taken until the budget is used up, then shown in the order
    of the page. Words that most sentences contain say nothing and weigh little.

    Args:
        text: Plain text of the page.
        goal: What is looked for; empty for the beginning of the page.
        max_words: Most words of the result, at least one sentence's beginning.
    """
    sentences = split_sentences(text)
    stems = [_stems(sentence) for sentence in sentences]
    weights = {
        stem: 1.0 / sum(stem in others for others in stems)
        for stem in _stems(goal)
        if any(stem in others for others in stems)
    }
    scores = [sum(weights[stem] for stem in own if stem in weights) for own in stems]
    order = sorted(range(len(sentences)), key=lambda i: (i != 0, -scores[i], i))
    left = max_words
    chosen: list[int] = []
    for i in order:
        num_words = len(sentences[i].split())
        if num_words > left and chosen:
            continue
        chosen.append(i)
        left -= num_words
    words = " ".join(sentences[i] for i in sorted(chosen)).split()
    shown = " ".join(words[:max_words])
    most_chars = _CHARS_OF_A_WORD * max_words
    whole = len(words) <= max_words and len(shown) <= most_chars
    return shown if whole else f"{shown[:most_chars]}…"
