"""Redundancy: a query or a page asked for again, in the same words or in nearly the same."""

from __future__ import annotations

from collections.abc import Iterator

from training.construction.formats.conversation import Conversation
from training.construction.formats.turn_text import Call
from training.construction.funnel.config import FunnelConfig
from training.construction.funnel.verdicts import Check, Finding, Reason, failed, passed
from training.construction.funnel.wording import content_words, shortened, words_of


def check_redundancy(conversation: Conversation, config: FunnelConfig) -> Finding:
    """Compares every query and address with those before it.

    Equal ones count wherever they stand. Near-equal queries count between turns alone: a batch of
    complementary queries is what the tool asks for.
    """
    seen: dict[tuple[str, str], int] = {}
    earlier: list[tuple[int, frozenset[str]]] = []
    repeated, similar = [], []
    for place, turn in enumerate(conversation.turns):
        for call in turn.calls:
            for kind, text in _targets(call):
                key = (kind, " ".join(words_of(text)) if kind == "query" else text.rstrip("/"))
                if key in seen:
                    repeated.append((place, text))
                    continue
                seen[key] = place
                if kind != "query":
                    continue
                words = frozenset(content_words(words_of(text)))
                if config.similar_call is not None and any(
                    before < place and _alike(words, old) >= config.similar_call
                    for before, old in earlier
                ):
                    similar.append((place, text))
                earlier.append((place, words))
    if len(repeated) > config.max_repeated_calls:
        place, text = repeated[0]
        return failed(Check.REDUNDANCY, Reason.REPEATED_CALL, shortened(text), place)
    if len(similar) > config.max_similar_calls:
        place, text = similar[0]
        return failed(Check.REDUNDANCY, Reason.SIMILAR_CALL, shortened(text), place)
    return passed(Check.REDUNDANCY)


def _targets(call: Call) -> Iterator[tuple[str, str]]:
    for name, kind in (("query", "query"), ("url", "address")):
        value = call.arguments.get(name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and each.strip():
                yield kind, each.strip()


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    union = one | other
    return len(one & other) / len(union) if union else 0.0
