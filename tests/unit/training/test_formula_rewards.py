"""Rewards of both papers and DAPO's punishment of length, for all inputs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_rewards import QUESTION, trajectory

from agents.trajectory import StopReason
from evaluation.scoring import score_answer
from training.config import RewardConfig, RlConfig
from training.overlong import overlong_part, shape_overlong
from training.rewards import Reward, reward_of

ANSWERS = st.one_of(
    st.none(),
    st.sampled_from(["Paris", "paris.", "the City of Paris", "Paris France", "London", ""]),
    st.text(max_size=12),
)
PARTS = st.sampled_from(["accuracy", "f1", "em"])


@given(answer=ANSWERS, format_ok=st.booleans(), part=PARTS)
def test_formula_of_evolvesearch_half_of_format_and_answer_or_nothing(
    answer: str | None, format_ok: bool, part: str
) -> None:
    config = RewardConfig.model_validate({"kind": "evolvesearch", "answer": part})
    reward = reward_of(trajectory(answer, format_ok), QUESTION, config)
    if not format_ok or answer is None:
        assert reward == Reward(0.0, 0.0, 0.0)
        return
    score = float(getattr(score_answer(answer, QUESTION.answers), part))
    assert reward.total == pytest.approx((1.0 + score) / 2)
    assert 0.5 <= (reward.total or 0.0) <= 1.0
    assert reward.answer == pytest.approx(score)


@given(answer=ANSWERS, format_ok=st.booleans(), part=PARTS)
def test_formula_of_webdancer_a_tenth_of_format_and_the_rest_of_answer(
    answer: str | None, format_ok: bool, part: str
) -> None:
    config = RewardConfig.model_validate({"kind": "webdancer", "answer": part})
    reward = reward_of(trajectory(answer, format_ok), QUESTION, config)
    form = float(format_ok and answer is not None)
    score = float(getattr(score_answer(answer, QUESTION.answers), part))
    assert reward.total == pytest.approx(form / 10 + score * 9 / 10)
    if part == "em":
        assert reward.total in (0.0, 0.1, 0.9, 1.0)


SHAPED = RlConfig(overlong_buffer_tokens=100, overlong_penalty=0.5)


@pytest.mark.parametrize(
    ("num_tokens", "part"),
    [(0, 0.0), (900, 0.0), (901, -0.005), (950, -0.25), (1000, -0.5), (1300, -0.5)],
)
def test_formula_of_the_overlong_punishment(num_tokens: int, part: float) -> None:
    assert overlong_part(num_tokens, 1000, SHAPED) == pytest.approx(part)
    assert overlong_part(num_tokens, 1000, RlConfig()) == 0.0


@given(num_tokens=st.integers(0, 3000), buffer=st.integers(1, 999), penalty=st.floats(0.01, 2.0))
def test_formula_of_the_overlong_punishment_is_dapos(
    num_tokens: int, buffer: int, penalty: float
) -> None:
    config = RlConfig(overlong_buffer_tokens=buffer, overlong_penalty=penalty)
    if num_tokens <= 1000 - buffer:
        expected = 0.0
    elif num_tokens <= 1000:
        expected = ((1000 - buffer) - num_tokens) / buffer
    else:
        expected = -1.0
    assert overlong_part(num_tokens, 1000, config) == pytest.approx(penalty * expected)


def test_formula_of_a_shaped_reward_keeps_its_parts_apart() -> None:
    shaped = shape_overlong(Reward(1.0, 1.0, 1.0), 950, 1000, SHAPED)
    assert shaped == Reward(1.0, 1.0, 0.75, overlong=-0.25)
    assert shape_overlong(Reward(0.0, 0.0, 0.0), 1000, 1000, SHAPED).total == -0.5
    failed = reward_of(trajectory(None, stop=StopReason.DEADLINE), QUESTION, RewardConfig())
    assert shape_overlong(failed, 1000, 1000, SHAPED) == failed
    assert failed.total is None
