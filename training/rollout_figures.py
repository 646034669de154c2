"""What an RL step's rollouts were like: the figures that show a collapse first; free of torch."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from agents.trajectory import StopReason, Trajectory
from training.rewards import Reward
from training.rollout_groups import Group, GroupOutcome

_NGRAM_TOKENS = 10
"""Length of the repeated runs of tokens that `repetition` counts."""

_FORCED = (StopReason.FORCED_ANSWER, StopReason.NO_ANSWER)


def rollout_figures(groups: Sequence[Group]) -> dict[str, float]:
    """Figures of all groups that a step sampled, replaced ones included.

    docs/training.md lists them. Those that need a reward are missing where no rollout has one.
    """
    pairs = [
        (group, trajectory, reward)
        for group in groups
        for trajectory, reward in zip(group.trajectories, group.rewards, strict=True)
    ]
    trajectories = [trajectory for _, trajectory, _ in pairs]
    rewards = [reward for _, _, reward in pairs]
    return (
        _lengths(trajectories)
        | _endings(trajectories)
        | _searches((group.question.num_hops, trajectory) for group, trajectory, _ in pairs)
        | _rewards(rewards)
        | _groups(groups)
    )


def _lengths(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    num_sampled = sum(sum(trajectory.loss_mask) for trajectory in trajectories)
    lengths = [len(trajectory.token_ids) for trajectory in trajectories]
    figures = {
        "tokens": float(sum(lengths)),
        "trajectory_tokens": fmean(lengths),
        "trajectory_tokens_max": float(max(lengths)),
        "sampled_tokens": num_sampled / len(trajectories),
        # The mean of -log p over samples estimates the entropy of the sampling distribution; in
        # fp32, as the store keeps them, a rollout that is read back gives the very same figure.
        "entropy": -sum(sum(array("f", trajectory.logprobs)) for trajectory in trajectories)
        / max(1, num_sampled),
    }
    repeated = [share for t in trajectories if (share := repeated_share(t)) is not None]
    return figures | ({"repetition": fmean(repeated)} if repeated else {})


def _endings(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    number = len(trajectories)
    full = [t for t in trajectories if t.stop_reason is StopReason.CONTEXT_FULL]
    return {
        "context_full_rate": len(full) / number,
        # Nothing was sampled: the question alone left no room for an answer.
        "too_long_questions": float(len({t.question_id for t in full if not any(t.loss_mask)})),
        "forced_rate": sum(t.stop_reason in _FORCED for t in trajectories) / number,
    }


def _searches(rollouts: Iterable[tuple[int, Trajectory]]) -> dict[str, float]:
    searches: defaultdict[int, list[int]] = defaultdict(list)
    tool_calls = []
    for num_hops, trajectory in rollouts:
        searches[num_hops].append(sum(turn.action == "search" for turn in trajectory.turns))
        tool_calls.append(trajectory.num_tool_calls)
    figures = {
        "tool_calls": fmean(tool_calls),
        "searches": fmean(number for numbers in searches.values() for number in numbers),
    }
    # Zero hops means that nobody counted them.
    by_hops = {hops: fmean(numbers) for hops, numbers in sorted(searches.items()) if hops}
    return figures | {f"searches_hops_{hops}": mean for hops, mean in by_hops.items()}


def _rewards(rewards: Sequence[Reward]) -> dict[str, float]:
    scored = [reward for reward in rewards if reward.total is not None]
    figures = {"infrastructure_rate": 1.0 - len(scored) / len(rewards)}
    if not scored:
        return figures
    return figures | {
        "reward_mean": fmean(reward.total or 0.0 for reward in scored),
        "format_rate": fmean(reward.format for reward in scored),
        "answer_mean": fmean(reward.answer for reward in scored),
        "right_rate": fmean(float(reward.is_right) for reward in scored),
        "overlong_mean": fmean(reward.overlong for reward in scored),
    }


def _groups(groups: Sequence[Group]) -> dict[str, float]:
    counts = dict.fromkeys(GroupOutcome, 0)
    for group in groups:
        counts[group.outcome] += 1
    dropped = {
        f"groups_{outcome.value}": float(number)
        for outcome, number in counts.items()
        if outcome is not GroupOutcome.MIXED
    }
    return {
        "groups_sampled": float(len(groups)),
        "zero_variance_share": 1.0 - counts[GroupOutcome.MIXED] / len(groups),
    } | dropped


def repeated_share(trajectory: Trajectory) -> float | None:
    """Share of a rollout's runs of ten sampled tokens that it has said before.

    Runs do not cross from one turn into the next, but count as repeated across turns.

    Returns:
        From 0 to 1; None where no turn has ten tokens.
    """
    seen: set[tuple[int, ...]] = set()
    total, turn = 0, list[int]()
    for token, sampled in zip((*trajectory.token_ids, 0), (*trajectory.loss_mask, 0), strict=True):
        if sampled:
            turn.append(token)
            continue
        for start in range(len(turn) - _NGRAM_TOKENS + 1):
            seen.add(tuple(turn[start : start + _NGRAM_TOKENS]))
            total += 1
        turn = []
    return 1.0 - len(seen) / total if total else None
