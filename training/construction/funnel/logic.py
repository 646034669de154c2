"""Logic: whether thoughts and actions fit together, as far as rules can see it."""

from __future__ import annotations

import re

from training.construction.formats.conversation import Conversation
from training.construction.funnel.answer_facts import facts_of
from training.construction.funnel.verdicts import (
    Check,
    Finding,
    Reason,
    failed,
    passed,
    unclear,
)
from training.construction.funnel.wording import content_words, find_words, shortened, words_of

_RESULTS = re.compile(
    r"\b(?:the|these|first|second|third|top) (?:search )?results? "
    r"(?:shows?|says?|said|confirms?|confirmed|mentions?|mentioned|states?|stated|returned)\b"
    r"|\bthe search (?:tool )?returned\b",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    r"\b(?:if|suppose|supposing|assume|assuming|imagine|say|simulate|would|might|may|could|should|"
    r"once|when|after|see|check|whether|let)\b",
    re.IGNORECASE,
)
_DOUBT = re.compile(
    r"\b(?:(?:not|isn't|doesn't|aren't) explicitly|"
    r"(?:could|did|do|does)(?: not|n't) (?:find|mention|provide|specify|give)\b|"
    r"no (?:direct|explicit|specific) (?:mention|evidence|information|data)|"
    r"i(?:'ll| will| have to| must) (?:assume|guess)|"
    r"(?:reasonable|safe) to (?:assume|conclude|infer)|plausible|the best (?:i|we) can|"
    r"without (?:more|further|direct) (?:information|data))",
    re.IGNORECASE,
)
_NOTHING_ELSE = re.compile(
    r"\b(?:other|others|another|anyone else|anything else|else|conflicting|contradict)", re.I
)
_CONCLUSION = re.compile(r"\banswer (?:is|should be|would be|must be)\W+(yes|no)\b", re.IGNORECASE)


def check_logic(conversation: Conversation) -> Finding:
    """Looks for visits of addresses that nobody showed, and for a last thought that fits."""
    finding = _addresses(conversation) or _last_thought(conversation)
    if finding is not None and finding.reason is not Reason.DOUBTED:
        return finding
    return _early_claim(conversation) or finding or passed(Check.LOGIC)


def _addresses(conversation: Conversation) -> Finding | None:
    shown = conversation.user
    for place, turn in enumerate(conversation.turns):
        for call in turn.calls:
            value = call.arguments.get("url")
            for url in value if isinstance(value, list) else [value]:
                if isinstance(url, str) and url.strip().rstrip("/") not in shown:
                    return failed(Check.LOGIC, Reason.UNSEEN_ADDRESS, shortened(url), place)
        shown += turn.response or ""
    return None


def _last_thought(conversation: Conversation) -> Finding | None:
    last = conversation.turns[-1]
    thought, answer = last.thought or "", last.answer or ""
    place = len(conversation.turns) - 1
    if not thought.strip() or not answer.strip():
        # A forced answer has no thought; a missing answer is validity's.
        return None
    facts = facts_of(answer, conversation.question)
    conclusions = _CONCLUSION.findall(thought)
    if facts.verdict and conclusions and conclusions[-1].lower() != facts.verdict:
        detail = f"thought {conclusions[-1].lower()}, answered {facts.verdict}"
        return failed(Check.LOGIC, Reason.AGAINST_THOUGHT, detail, place)
    if facts.key:
        words, key = words_of(thought), words_of(facts.key)
        missing = [word for word in content_words(key) if word not in words]
        if find_words(key, words) is None and missing:
            share = len(missing) / len(content_words(key))
            if share > 0.5:
                say = failed if share == 1.0 else unclear
                return say(Check.LOGIC, Reason.NOT_CONCLUDED, shortened(facts.key), place)
    for doubt in _DOUBT.finditer(thought):
        # That nothing else was found speaks for the answer.
        if _NOTHING_ELSE.search(thought[doubt.start() : doubt.end() + 40]):
            continue
        return unclear(Check.LOGIC, Reason.DOUBTED, _around(thought, doubt.start()), place)
    return None


def _early_claim(conversation: Conversation) -> Finding | None:
    thought = conversation.turns[0].thought or ""
    for match in _RESULTS.finditer(thought):
        start = max(thought.rfind(end, 0, match.start()) for end in (". ", "? ", "\n"))
        # What is only supposed often goes on for a sentence or two.
        before = thought[max(0, start - 160) : match.start()]
        if not _SUPPOSED.search(before):
            shown = _around(thought, match.start())
            return unclear(Check.LOGIC, Reason.CLAIMS_UNSEEN, shown, 0)
    return None


def _around(text: str, at: int) -> str:
    return shortened(text[max(0, at - 20) : at + 60])
