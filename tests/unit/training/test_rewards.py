"""The reward formulas of both papers, case by case."""

import pytest

from agents.errors import StageError
from agents.trajectory import Question, StopReason, Trajectory
from evaluation.judging.marks import Grade, Mark
from training.config import RewardConfig
from training.judged_answers import JudgedAnswers
from training.rewards import Reward, reward_of, show_answers

QUESTION = Question("q", "What is the capital of France?", ("Paris", "City of Paris"))


def trajectory(
    answer: str | None, format_ok: bool = True, stop: StopReason = StopReason.ANSWER
) -> Trajectory:
    return Trajectory(
        trajectory_id="t",
        question_id="q",
        rollout_index=0,
        policy="p",
        iteration=1,
        source="rollout",
        temperature=1.0,
        token_ids=(1, 2),
        loss_mask=(0, 1),
        logprobs=(0.0, -1.0),
        num_prompt_tokens=1,
        answer=answer,
        stop_reason=stop,
        format_ok=format_ok,
    )


@pytest.mark.parametrize(
    ("answer", "format_ok", "kind", "expected"),
    [
        ("Paris", True, "evolvesearch", Reward(1.0, 1.0, 1.0)),
        ("London", True, "evolvesearch", Reward(1.0, 0.0, 0.5)),
        # Malformed: not even judged.
        ("Paris", False, "evolvesearch", Reward(0.0, 0.0, 0.0)),
        (None, True, "evolvesearch", Reward(0.0, 0.0, 0.0)),
        ("Paris", True, "webdancer", Reward(1.0, 1.0, 1.0)),
        ("London", True, "webdancer", Reward(1.0, 0.0, 0.1)),
        ("Paris", False, "webdancer", Reward(0.0, 1.0, 0.9)),
        (None, False, "webdancer", Reward(0.0, 0.0, 0.0)),
    ],
)
def test_formulas(answer: str | None, format_ok: bool, kind: str, expected: Reward) -> None:
    config = RewardConfig.model_validate({"kind": kind})
    assert reward_of(trajectory(answer, format_ok), QUESTION, config) == expected


@pytest.mark.parametrize("stop", [s for s in StopReason if s.is_infrastructure])
def test_an_infrastructure_failure_earns_nothing_at_all(stop: StopReason) -> None:
    for kind in ("evolvesearch", "webdancer"):
        config = RewardConfig.model_validate({"kind": kind})
        assert reward_of(trajectory("Paris", stop=stop), QUESTION, config).total is None


def test_the_answer_part_can_be_f1_or_exact_match() -> None:
    partly_right = trajectory("Paris France")
    f1 = reward_of(partly_right, QUESTION, RewardConfig(answer="f1"))
    assert f1.answer == pytest.approx(2 / 3)
    assert f1.total == pytest.approx(0.5 + 1 / 3)
    assert reward_of(partly_right, QUESTION, RewardConfig(answer="em")).total == 0.5


def test_a_trajectory_of_another_question_is_refused() -> None:
    with pytest.raises(ValueError, match="scored with other"):
        reward_of(trajectory("Paris"), Question("other", "?", ("x",)), RewardConfig())


JUDGED = {"answer": "judge", "judge": {"kind": "api", "api": {"model": "m"}}}


class WrittenJudge:
    """Says what was written down, right where nothing is, and counts how it was asked."""

    identity = "written"

    def __init__(self, **grades: Grade) -> None:
        self.grades, self.batches = grades, []

    def mark(self, items):
        self.batches.append([item.predicted for item in items])
        return [
            Mark(self.grades.get(item.predicted, Grade.CORRECT), "so", "written") for item in items
        ]

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("answer", "format_ok", "kind", "expected"),
    [
        ("Lutetia", True, "evolvesearch", Reward(1.0, 1.0, 1.0)),
        ("London", True, "evolvesearch", Reward(1.0, 0.0, 0.5)),
        # The judge failed: no reward, which is not a reward of nothing.
        ("Lost", True, "evolvesearch", Reward(1.0, 0.0, None)),
        ("Lost", False, "webdancer", Reward(0.0, 0.0, None)),
        ("Lutetia", False, "webdancer", Reward(0.0, 1.0, 0.9)),
        # Neither asks the judge.
        ("Lost", False, "evolvesearch", Reward(0.0, 0.0, 0.0)),
        (None, True, "webdancer", Reward(0.0, 0.0, 0.0)),
    ],
)
def test_the_answer_part_can_be_a_judges(
    answer: str | None, format_ok: bool, kind: str, expected: Reward
) -> None:
    config = RewardConfig.model_validate({"kind": kind, **JUDGED})
    judged = JudgedAnswers(WrittenJudge(London=Grade.INCORRECT, Lost=Grade.UNJUDGED))
    assert reward_of(trajectory(answer, format_ok), QUESTION, config, judged) == expected


def test_a_batch_is_judged_at_once_and_what_failed_again_with_the_next() -> None:
    judge = WrittenJudge(Lost=Grade.UNJUDGED)
    judged, config = JudgedAnswers(judge), RewardConfig.model_validate(JUDGED)
    made = [
        trajectory("Paris"),
        trajectory("Lost"),
        trajectory("Paris"),
        trajectory("Rome", format_ok=False),
        trajectory(None),
        trajectory("Late", stop=StopReason.DEADLINE),
    ]
    show_answers(made, {"q": QUESTION}, config, judged)
    rewards = [reward_of(each, QUESTION, config, judged).total for each in made]
    assert rewards == [1.0, None, 1.0, 0.0, 0.0, None]
    assert judge.batches == [["Paris", "Lost"]]
    judge.grades = {}
    show_answers(made, {"q": QUESTION}, config, judged)
    assert judge.batches[1:] == [["Lost"]]
    assert reward_of(made[1], QUESTION, config, judged).total == 1.0


def test_a_judge_that_fails_on_many_stops_the_stage() -> None:
    answers = [f"answer {number}" for number in range(100)]
    few = JudgedAnswers(WrittenJudge(**dict.fromkeys(answers[:5], Grade.UNJUDGED)), 0.05)
    few.show((QUESTION, answer) for answer in answers)
    many = JudgedAnswers(WrittenJudge(**dict.fromkeys(answers[:6], Grade.UNJUDGED)), 0.05)
    with pytest.raises(StageError, match=r"failed on 6 of 100 answers, more than 5%.*: so"):
        many.show((QUESTION, answer) for answer in answers)


def test_a_judges_settings_are_those_that_matter() -> None:
    with pytest.raises(ValueError, match=r"answer=judge needs judge\.kind=api"):
        RewardConfig(answer="judge")
    with pytest.raises(ValueError, match="needs a judge, got none"):
        reward_of(trajectory("Paris"), QUESTION, RewardConfig.model_validate(JUDGED))
    assert RewardConfig().that_matters == {"kind": "evolvesearch", "answer": "accuracy"}
    plain = RewardConfig.model_validate(JUDGED).that_matters
    api = {"model": "m", "input_price": 1.0, "budget": 3.0}
    dear = {**JUDGED, "judge": {"kind": "api", "concurrency": 2, "api": api}}
    assert RewardConfig.model_validate(dear).that_matters == plain
    other = {**JUDGED, "judge": {"kind": "api", "prompt": "simpleqa", "api": {"model": "m"}}}
    assert RewardConfig.model_validate(other).that_matters != plain
