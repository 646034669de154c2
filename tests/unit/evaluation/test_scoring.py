"""Scores accept a right answer however it is written, and nothing besides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.scoring import AnswerScore, normalise_squad, score_answer, token_f1

texts = st.text(min_size=1, max_size=30).filter(lambda text: text.strip())


@pytest.mark.parametrize(
    ("predicted", "golds"),
    [
        ("Euro", ["Euro", "EUR"]),
        ("the euro.", ["Euro"]),
        ("EUR", ["Euro", "EUR"]),
        ("The answer is Euro", ["Euro"]),
        ("Answer: Brasilia", ["Brasília"]),
        ("520774", ["520,774"]),
        ("520 774 people", ["520,774"]),
        ("547,030 km²", ["547,030 square kilometres"]),
        ("33", ["+33"]),
        ("America/Sao Paulo", ["America/Sao_Paulo"]),
        ("fr", [".fr"]),
        ("Sao Tome and Principe", ["São Tomé and Príncipe"]),
        ("Guinea Bissau", ["Guinea-Bissau"]),
        ("July 4, 1776", ["4 July 1776"]),
        ("1776-07-04", ["July 4th, 1776"]),
        ("Thursday, the 4th of July, 1776.", ["4 July 1776"]),
        ("on 4 July 1776", ["1776/07/04"]),
        ("25/12/1990", ["December 25, 1990"]),
        ("The answer is 12/25/1990", ["25 Dec. 1990"]),
        ("Sept 2001", ["September, 2001"]),
        ("March 15, 44 BC", ["15 March 44 BCE"]),
        ("79 CE", ["AD 79"]),
        ("in 1776", ["1776"]),
        ("in the year 1776", ["1776"]),
        ("seven", ["7"]),
        ("3.5 million people", ["3,500,000"]),
        ("5 percent", ["5%"]),
        ("Yes.", ["yes"]),
        ("Yes, both of them are American.", ["yes"]),
        ("No, they were not born in one country", ["No"]),
    ],
)
def test_right_answers_are_accepted(predicted, golds):
    assert score_answer(predicted, golds).accuracy == 1.0


@pytest.mark.parametrize(
    ("predicted", "golds"),
    [
        ("Paris or London", ["Paris"]),
        ("Paris, London", ["Paris"]),
        ("Paris/London", ["Paris"]),
        ("Paris and London", ["Paris", "London"]),
        ("probably Paris", ["Paris"]),
        ("not Paris", ["Paris"]),
        ("Mexico", ["Mexico City"]),
        ("Mexico City", ["Mexico"]),
        ("520,775", ["520,774"]),
        ("520,774 or 520,775", ["520,774"]),
        ("-5", ["5"]),
        ("3.14", ["314"]),
        ("821 people", ["821 feet"]),
        ("1 2", ["12"]),
        ("July 5, 1776", ["4 July 1776"]),
        ("July 1776", ["4 July 1776"]),
        ("4 July 1776", ["July 1776"]),
        ("4 July", ["4 July 1776"]),
        ("4 July 1776 or 5 July 1776", ["4 July 1776"]),
        ("4 or 5 July 1776", ["4 July 1776"]),
        ("03/04/1990", ["3 April 1990"]),
        ("03/04/1990", ["4 March 1990"]),
        ("30 February 1990", ["1 March 1990"]),
        ("44", ["44 BC"]),
        ("probably 1776", ["1776"]),
        ("1776 and 1777", ["1776"]),
        ("seven", ["8"]),
        ("3.5 million", ["3,500"]),
        ("5 percent", ["5 people"]),
        ("yes and no", ["yes"]),
        ("Yes, but only one of them", ["yes"]),
        ("Yes, they are not", ["yes"]),
        ("Yes, or no", ["no"]),
        ("No", ["yes"]),
        ("Yes, Paris", ["Paris"]),
        ("", ["Paris"]),
        ("   ", ["%"]),
        (None, ["Paris"]),
    ],
)
def test_anything_else_is_wrong(predicted, golds):
    assert score_answer(predicted, golds).accuracy == 0.0


def test_exact_match_is_squads():
    assert score_answer("The  Beatles!", ["beatles"]).em == 1.0
    assert score_answer("Brasilia", ["Brasília"]).em == 0.0


def test_f1_by_hand():
    # Two of three predicted tokens are among the four right ones.
    assert token_f1("United States rupee", "United States dollar note") == pytest.approx(4 / 7)
    assert score_answer("Paris", ["London", "city of Paris"]).f1 == pytest.approx(0.5)


def test_what_normalisation_empties_is_equal_to_squad_and_not_to_the_rule():
    assert normalise_squad("A") == ""
    assert score_answer("The", ["A"]) == AnswerScore(1.0, 1.0, 0.0)
    assert score_answer("A", ["A"]).accuracy == 1.0


def test_a_question_without_right_answers_is_a_mistake():
    with pytest.raises(ValueError, match="at least one"):
        score_answer("Paris", [])


@given(texts)
def test_every_right_answer_scores_full_marks(gold):
    assert score_answer(gold, [gold]) == AnswerScore(1.0, 1.0, 1.0)


@given(st.none() | st.text(max_size=30), st.lists(texts, min_size=1, max_size=4))
def test_scores_are_bounded_and_aliases_never_hurt(predicted, golds):
    score = score_answer(predicted, golds)
    assert score.em in (0.0, 1.0)
    assert score.accuracy in (0.0, 1.0)
    assert score.em <= score.f1 <= 1.0
    first = score_answer(predicted, golds[:1])
    assert (score.em, score.f1, score.accuracy) >= (first.em, first.f1, first.accuracy)


@given(st.text(max_size=30), st.lists(texts, min_size=1, max_size=4))
def test_the_order_of_aliases_does_not_matter(predicted, golds):
    assert score_answer(predicted, golds) == score_answer(predicted, golds[::-1])


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_numbers_are_right_with_and_without_separators(number):
    assert score_answer(str(number), [f"{number:,}"]).accuracy == 1.0
    assert score_answer(str(number + 1), [f"{number:,}"]).accuracy == 0.0
