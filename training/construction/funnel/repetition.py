"""Repetition: no sequence of ten words more than four times in what the policy said (WebDancer)."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from training.construction.formats.conversation import Conversation
from training.construction.funnel.config import FunnelConfig
from training.construction.funnel.verdicts import Check, Finding, Reason, failed, passed
from training.construction.funnel.wording import shortened, words_of


def check_repetition(conversation: Conversation, config: FunnelConfig) -> Finding:
    """Counts sequences of words over all thoughts and answers; calls are redundancy's."""
    counts: Counter[tuple[str, ...]] = Counter()
    width = config.ngram_words
    for turn in conversation.turns:
        parts = turn.parts
        for text in (parts.thought, parts.answer):
            words = words_of(text or "")
            counts.update(zip(*(islice(words, at, None) for at in range(width)), strict=False))
    if not counts:
        return passed(Check.REPETITION, "nothing is long enough")
    [(words, most)] = counts.most_common(1)
    if most > config.max_ngram_repeats:
        shown = shortened(" ".join(words))
        return failed(Check.REPETITION, Reason.REPEATED_NGRAM, f"{most} times: {shown}")
    return passed(Check.REPETITION, f"at most {most} times")
