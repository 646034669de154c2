"""The reward formulas of both papers, case by case."""

import pytest

from agents.trajectory import Question, StopReason, Trajectory
from training.config import RewardConfig
from training.rewards import Reward, reward_of

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
