"""Grounding: whether what the answer claims stands in what the tools showed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from training.construction.formats.conversation import Conversation
from training.construction.funnel.answer_facts import facts_of
from training.construction.funnel.config import FunnelConfig
from training.construction.funnel.question_kind import QuestionKind, kind_of
from training.construction.funnel.verdicts import (
    Check,
    Finding,
    Reason,
    failed,
    passed,
    unclear,
)
from training.construction.funnel.wording import content_words, find_words, shortened, words_of

_NEAR = 30
"""Words within which the words of a claim must stand, where they do not stand in a row."""

_FEW = 3
"""Claims under which their share says too little for a verdict."""
_NUMERIC = re.compile(r"[\d.,%\s–-]+s?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a claim was seen: the turn whose call showed it, and the word of its observation."""

    turn: int
    word: int


def check_grounding(conversation: Conversation, config: FunnelConfig) -> Finding:
    """Looks for the answer and its further names and numbers in the observations."""
    seen = [
        (place, words_of(turn.observation))
        for place, turn in enumerate(conversation.turns)
        if turn.observation and turn.observation.strip()
    ]
    if not seen:
        return failed(Check.GROUNDING, Reason.NOTHING_SEEN, "no observation has any text")
    facts = facts_of(conversation.final_answer or "", conversation.question)
    claims = [*([facts.key] if facts.key else []), *facts.others]
    if not claims:
        return unclear(Check.GROUNDING, Reason.NOTHING_TO_LOOK_FOR, shortened(facts.lead, 60))
    places = {claim: find_claim(claim, seen) for claim in claims}
    share = sum(place is not None for place in places.values()) / len(places)
    if facts.key and places[facts.key] is None:
        # What is counted or reckoned need not stand anywhere.
        counted = kind_of(conversation.question) in (QuestionKind.COUNT, QuestionKind.YEAR)
        reckoned = counted or bool(_NUMERIC.fullmatch(facts.key))
        partly = any(
            word in words for word in content_words(words_of(facts.key)) for _, words in seen
        )
        say = unclear if reckoned or partly else failed
        return say(Check.GROUNDING, Reason.ANSWER_NOT_SEEN, shortened(facts.key))
    if share < config.min_facts_seen:
        missing = next(claim for claim, place in places.items() if place is None)
        detail = f"{share:.0%} of {len(claims)} seen, not: {shortened(missing, 50)}"
        say = failed if len(claims) >= _FEW else unclear
        return say(Check.GROUNDING, Reason.FACTS_NOT_SEEN, detail)
    first = next(place for place in places.values() if place is not None)
    return passed(
        Check.GROUNDING,
        f"{shortened(claims[0], 40)} at word {first.word} of turn {first.turn}; {share:.0%} of "
        f"{len(claims)} seen",
    )


def find_claim(claim: str, seen: Sequence[tuple[int, Sequence[str]]]) -> Place | None:
    """Where a claim stands first: its words in a row, else close together.

    Args:
        claim: A name, a number or a few words.
        seen: Words of each observation, with the turn that brought it.
    """
    wanted = words_of(claim)
    for turn, words in seen:
        at = find_words(wanted, words)
        if at is not None:
            return Place(turn, at)
    rest = list(dict.fromkeys(content_words(wanted)))
    if len(rest) < 2:
        return None
    for turn, words in seen:
        at = _together(rest, words)
        if at is not None:
            return Place(turn, at)
    return None


def _together(wanted: Sequence[str], words: Sequence[str]) -> int | None:
    """Where all words occur within `_NEAR` words, in any order."""
    last: dict[str, int] = {}
    needed = set(wanted)
    for at, word in enumerate(words):
        if word in needed:
            last[word] = at
            if len(last) == len(needed) and at - min(last.values()) < _NEAR:
                return min(last.values())
    return None
