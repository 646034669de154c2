"""Which questions are asked, what counts as mixed, and how unmixed groups are replaced."""

from collections.abc import Callable

import pytest

from agents.errors import StageError
from agents.trajectory import Question, StopReason, Trajectory
from training.config import RlConfig
from training.rewards import Reward
from training.rollout_groups import Group, GroupSampler, RolloutRequest

QUESTIONS = [Question(f"q{i}", f"Question {i}?", ("yes",)) for i in range(6)]


def trajectory_for(request: RolloutRequest) -> Trajectory:
    return Trajectory(
        f"{request.question.question_id}-{request.rollout_index}",
        request.question.question_id, request.rollout_index, "p", 1, "rl", 0.7,
        (1, 2), (0, 1), (0.0, -1.0), 1, stop_reason=StopReason.ANSWER,
    )  # fmt: skip


def sampler_of(
    reward: Callable[[Trajectory], Reward], config: RlConfig, seen: list[RolloutRequest]
) -> GroupSampler:
    def sample(requests: list[RolloutRequest]) -> list[Trajectory]:
        seen.extend(requests)
        return [trajectory_for(request) for request in reversed(requests)]

    return GroupSampler(QUESTIONS, sample, reward, config, seed=7)


def by_parity(trajectory: Trajectory) -> Reward:
    value = float(trajectory.rollout_index % 2)
    return Reward(1.0, value, value)


def test_questions_go_round_without_repeating_a_rollout() -> None:
    seen: list[RolloutRequest] = []
    config = RlConfig(prompts_per_step=4, num_generations=2)
    sampler = sampler_of(by_parity, config, seen)
    for step in (1, 2, 3):
        chosen, sampled = sampler.groups(step)
        assert chosen == sampled
        for group in chosen:
            assert {t.question_id for t in group.trajectories} == {group.question.question_id}
    keys = [(r.question.question_id, r.rollout_index) for r in seen]
    assert len(set(keys)) == len(keys) == 24
    assert {r.question.question_id for r in seen[:12]} == {q.question_id for q in QUESTIONS}
    assert len({r.seed for r in seen}) == 24


def test_the_same_seed_asks_the_same() -> None:
    runs = []
    for _ in range(2):
        seen: list[RolloutRequest] = []
        sampler_of(by_parity, RlConfig(prompts_per_step=4), seen).groups(1)
        runs.append(seen)
    assert runs[0] == runs[1]


def test_a_reward_of_none_neither_mixes_a_group_nor_keeps_it_from_being_mixed() -> None:
    def group(*totals: float | None) -> Group:
        return Group(QUESTIONS[0], (), tuple(Reward(1.0, 0.0, total) for total in totals))

    assert not group(1.0, None, 1.0).is_mixed
    assert not group(None, None).is_mixed
    assert group(1.0, None, 0.5).is_mixed
    assert not group(0.1 + 0.2, 0.3).is_mixed


def test_unmixed_groups_are_replaced_as_often_as_allowed() -> None:
    # Only questions 0 and 1 ever give mixed groups.
    def reward(trajectory: Trajectory) -> Reward:
        if trajectory.question_id in ("q0", "q1"):
            return by_parity(trajectory)
        return Reward(1.0, 1.0, 1.0)

    seen: list[RolloutRequest] = []
    config = RlConfig(prompts_per_step=2, num_generations=2, max_resamples=6)
    chosen, sampled = sampler_of(reward, config, seen).groups(1)
    assert {group.question.question_id for group in chosen} <= {"q0", "q1"}
    assert all(group.is_mixed for group in chosen)
    assert 2 * len(sampled) == len(seen)

    seen.clear()
    chosen, sampled = sampler_of(
        lambda _: Reward(1.0, 1.0, 1.0), config.model_copy(update={"max_resamples": 2}), seen
    ).groups(1)
    assert len(chosen) == 2
    assert len(sampled) == 6


def test_a_lost_rollout_is_an_error() -> None:
    sampler = GroupSampler(QUESTIONS, lambda _: [], by_parity, RlConfig(), seed=1)
    with pytest.raises(StageError, match="64 of 64 rollouts of RL step 1 did not come back"):
        sampler.groups(1)
    with pytest.raises(StageError, match="no questions"):
        GroupSampler([], lambda _: [], by_parity, RlConfig(), seed=1)


def test_resampling_without_leaving_groups_out_is_a_contradiction() -> None:
    with pytest.raises(ValueError, match="prompts=mixed"):
        RlConfig(prompts="all", max_resamples=1)
