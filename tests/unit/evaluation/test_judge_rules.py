"""What is judged without a model: the rules, and what no model needs to be asked about."""

from __future__ import annotations

import pytest

from evaluation.judging.certain import certain_mark
from evaluation.judging.config import JudgeConfig
from evaluation.judging.marks import Grade, JudgeItem
from evaluation.judging.opening import open_judge


def item(predicted, *answers, question="Which one?"):
    return JudgeItem("q1", question, answers or ("Paris",), predicted)


@pytest.mark.parametrize(
    ("predicted", "answers", "grade"),
    [
        ("The answer is Paris.", ("Paris",), Grade.CORRECT),
        ("City of Light", ("Paris", "the City of Light"), Grade.CORRECT),
        ("1,204", ("1204",), Grade.CORRECT),
        ("Paris or London", ("Paris",), Grade.INCORRECT),
        ("Paris, London", ("Paris",), Grade.INCORRECT),
        ("Lyon", ("Paris",), Grade.INCORRECT),
        (None, ("Paris",), Grade.NOT_ATTEMPTED),
        (" \n", ("Paris",), Grade.NOT_ATTEMPTED),
        ("I don't know.", ("Paris",), Grade.NOT_ATTEMPTED),
        ("unknown", ("Unknown",), Grade.CORRECT),
    ],
)
def test_the_judge_by_rule(predicted, answers, grade):
    judge = open_judge(JudgeConfig())
    [mark] = judge.mark([item(predicted, *answers)])
    assert mark.grade is grade
    assert mark.correct is (grade is Grade.CORRECT)
    assert (mark.judge, mark.tokens, mark.cost, mark.cached) == ("rules", 0, 0.0, False)
    assert judge.identity == "rules"


@pytest.mark.parametrize(
    "judge", [open_judge(JudgeConfig()).mark, lambda items: [*map(certain_mark, items)]]
)
def test_an_item_without_right_answers_is_refused(judge):
    with pytest.raises(ValueError, match="right answer"):
        judge([JudgeItem("q1", "Which?", (), "Paris")])


@pytest.mark.parametrize(
    ("predicted", "answers", "grade"),
    [
        ("paris!", ("Paris",), Grade.CORRECT),
        ("The Hague", ("Den Haag", "Hague"), Grade.CORRECT),
        # SQuAD's normalisation would make these equal.
        ("1.5", ("15",), None),
        ("-3", ("3",), None),
        ("15", ("1.5", "15"), Grade.CORRECT),
        # A lead-in is for the model to see through: only exact matches need no call.
        ("The answer is Paris", ("Paris",), None),
        (None, ("Paris",), Grade.NOT_ATTEMPTED),
        ("", ("Paris",), Grade.NOT_ATTEMPTED),
        ("I do not know", ("Paris",), Grade.NOT_ATTEMPTED),
        ("Not known.", ("It is unknown", "unknown"), None),
        ("none", ("0",), None),
        ("either Paris or London", ("Paris",), Grade.INCORRECT),
        ("Either/Or", ("Either Or: A Fragment of Life",), None),
        ("either Paris or London", ("Either London or Paris",), None),
        ("yes and no", ("yes",), Grade.INCORRECT),
        ("Yes, no.", ("no",), Grade.INCORRECT),
        ("No", ("yes",), None),
        ("12 or 13", ("12",), Grade.INCORRECT),
        ("12 or 12.0", ("13",), None),
        ("1914 and 1918", ("1914–1918",), None),
        # Alternatives may be names of one thing: the prompt deals with them.
        ("Louis XIV or the Sun King", ("Louis XIV",), None),
        ("Paris or London", ("Paris",), None),
    ],
)  # fmt: skip
def test_what_needs_no_model(predicted, answers, grade):
    mark = certain_mark(item(predicted, *answers))
    assert (mark and mark.grade) == grade


def test_bad_combinations_and_one_word():
    with pytest.raises(ValueError, match=r"kind api needs api\.model"):
        JudgeConfig(kind="api")
    assert JudgeConfig.model_validate("rules") == JudgeConfig()


def test_what_verdicts_depend_on():
    api = {"model": "m", "url": "http://a/v1"}
    plain = JudgeConfig(kind="api", api=api)
    patient = JudgeConfig(
        kind="api", concurrency=2, api={**api, "max_retries": 9, "input_price": 1.0}
    )
    assert plain.that_matters == patient.that_matters
    for other in (
        JudgeConfig(kind="api", prompt="simpleqa", api=api),
        JudgeConfig(kind="api", api={**api, "model": "n"}),
        JudgeConfig(kind="api", api={**api, "url": "http://b/v1"}),
        JudgeConfig(),
    ):
        assert other.that_matters != plain.that_matters
