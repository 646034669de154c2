"""EM and F1 as their papers define them, written anew from the definitions, for comparison.

SQuAD 2.0: Rajpurkar et al. (2018), whose script lowers case, removes punctuation, then the whole
words a, an and the, then joins what whitespace parts; F1 counts tokens as often as they occur, and
is the exact match where a side has none. DeepResearcher: Zheng et al. (2025), whose scorer makes
each punctuation sign a space, keeps articles and compares sets; a side without tokens scores 0.
"""

from __future__ import annotations

from fractions import Fraction

SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def squad_tokens(text: str) -> list[str]:
    kept = "".join(char for char in text.lower() if char not in SIGNS)
    # Articles are whole runs of word characters; what parts them is anything else.
    words, run = [], ""
    for char in [*kept, " "]:
        if char.isalnum() or char == "_":
            run += char
            continue
        words += [" " if run in ("a", "an", "the") else run, char]
        run = ""
    return "".join(words).split()


def deepresearcher_tokens(text: str) -> list[str]:
    return "".join(" " if char in SIGNS else char for char in text.lower()).split()


def squad(predicted: str, gold: str) -> tuple[int, Fraction]:
    said, right = squad_tokens(predicted), squad_tokens(gold)
    em = int(said == right)
    if not said or not right:
        return em, Fraction(em)
    left, same = list(right), 0
    for token in said:
        if token in left:
            left.remove(token)
            same += 1
    return em, harmonic(Fraction(same, len(said)), Fraction(same, len(right)))


def deepresearcher(predicted: str, gold: str) -> tuple[int, Fraction]:
    said, right = deepresearcher_tokens(predicted), deepresearcher_tokens(gold)
    em = int(said == right)
    if not said or not right:
        return em, Fraction(0)
    same = len({token for token in said if token in right})
    return em, harmonic(Fraction(same, len(set(said))), Fraction(same, len(set(right))))


def harmonic(precision: Fraction, recall: Fraction) -> Fraction:
    if precision + recall == 0:
        return Fraction(0)
    return 2 * precision * recall / (precision + recall)
