"""EM and F1 are those of the field: by hand, and against definitions written independently."""

from __future__ import annotations

import random

import pytest
from reference_scores import deepresearcher, squad

from evaluation.scoring import exact_match, token_f1

# Predicted, gold, then EM and F1 of SQuAD and of DeepResearcher, each worked out by hand.
BY_HAND = [
    ("Paris", "Paris", (1, 1), (1, 1)),
    ("paris.", "Paris", (1, 1), (1, 1)),
    ("The Beatles", "Beatles", (1, 1), (0, 2 / 3)),
    ("the euro", "The Euro", (1, 1), (1, 1)),
    ("a dog", "the dog", (1, 1), (0, 1 / 2)),
    ("U.S.A.", "USA", (1, 1), (0, 0)),
    ("U.S.A.", "U S A", (0, 0), (1, 1)),
    ("Sao-Tome", "Sao Tome", (0, 0), (1, 1)),
    ("Sao-Tome", "SaoTome", (1, 1), (0, 0)),
    ("New York City", "New York", (0, 4 / 5), (0, 4 / 5)),
    ("New York, New York", "New York", (0, 2 / 3), (0, 1)),
    ("York New", "New York", (0, 1), (0, 1)),
    ("new new york", "new york york", (0, 2 / 3), (0, 1)),
    ("city of Paris", "Paris", (0, 1 / 2), (0, 1 / 2)),
    ("Paris", "London", (0, 0), (0, 0)),
    ("520,774", "520774", (1, 1), (0, 0)),
    ("520 774", "520,774", (0, 0), (1, 1)),
    ("3.14", "314", (1, 1), (0, 0)),
    ("-5", "5", (1, 1), (1, 1)),
    ("the", "a", (1, 1), (0, 0)),
    ("the", "Paris", (0, 0), (0, 0)),
    ("!", "?", (1, 1), (1, 0)),
    ("A", "A", (1, 1), (1, 1)),
    ("Vitamin A", "Vitamin B", (0, 2 / 3), (0, 1 / 2)),
    ("Andy", "andy", (1, 1), (1, 1)),
    ("theatre", "atre", (0, 0), (0, 0)),
    ("Rock 'n' Roll", "rock n roll", (1, 1), (1, 1)),
    ("O'Neill", "ONeill", (1, 1), (0, 0)),
    ("Brasília", "Brasilia", (0, 0), (0, 0)),
    ("“Paris”", "Paris", (0, 0), (0, 0)),
    ("Paris and London", "Paris", (0, 1 / 2), (0, 1 / 2)),
    ("yes", "no", (0, 0), (0, 0)),
    ("Yes, both", "yes", (0, 2 / 3), (0, 2 / 3)),
    ("  two   words ", "two\nwords", (1, 1), (1, 1)),
    ("United States rupee", "United States dollar note", (0, 4 / 7), (0, 4 / 7)),
    ("July 4, 1776", "4 July 1776", (0, 1), (0, 1)),
    ("the man of the hour", "man of hour", (1, 1), (0, 6 / 7)),
    ("an_example", "an example", (0, 0), (1, 1)),
    ("a-b", "b", (0, 0), (0, 2 / 3)),
    ("ÉCOLE", "école", (1, 1), (1, 1)),
]

WORDS = ["the", "a", "an", "The", "Paris", "new", "New", "York", "1776", "U.S.", "O'Neill", "São"]
SIGNS = ["", "", "", ".", ",", "-", "'", "_", " ", "  ", "\n", "—", "%", "\xa0"]


def generated(num_pairs: int) -> list[tuple[str, str]]:
    draw = random.Random(20261125)

    def text() -> str:
        return "".join(
            draw.choice(WORDS) + draw.choice(SIGNS) + draw.choice([" ", " ", ""])
            for _ in range(draw.randint(1, 6))
        )

    pairs = [(text(), text()) for _ in range(num_pairs // 2)]
    # And pairs that are nearly the same, or nothing would ever match exactly.
    for _ in range(num_pairs - len(pairs)):
        gold = text()
        changed = gold.upper() if draw.random() < 0.5 else gold.replace("the", " ")
        pairs.append((draw.choice(SIGNS) + changed + draw.choice(SIGNS), gold))
    return pairs


@pytest.mark.parametrize(("predicted", "gold", "of_squad", "of_deepresearcher"), BY_HAND)
def test_scores_worked_out_by_hand(predicted, gold, of_squad, of_deepresearcher):
    for normalisation, expected in (("squad", of_squad), ("deepresearcher", of_deepresearcher)):
        ours = (
            exact_match(predicted, gold, normalisation),
            token_f1(predicted, gold, normalisation),
        )
        assert ours == pytest.approx(expected, abs=1e-12), normalisation


def test_the_references_agree_with_what_was_worked_out_by_hand():
    for predicted, gold, of_squad, of_deepresearcher in BY_HAND:
        assert squad(predicted, gold) == pytest.approx(of_squad), (predicted, gold)
        assert deepresearcher(predicted, gold) == pytest.approx(of_deepresearcher), predicted


@pytest.mark.parametrize(
    ("normalisation", "reference"), [("squad", squad), ("deepresearcher", deepresearcher)]
)
def test_two_thousand_generated_pairs_agree_with_the_reference(normalisation, reference):
    matches = 0
    for predicted, gold in generated(2000):
        em, f1 = reference(predicted, gold)
        assert exact_match(predicted, gold, normalisation) == em, (predicted, gold)
        assert token_f1(predicted, gold, normalisation) == pytest.approx(float(f1), abs=1e-12)
        matches += em
    assert 200 < matches < 1500, "the pairs are too alike, or too unlike, to tell anything"
