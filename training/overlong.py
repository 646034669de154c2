"""DAPO's soft punishment of overlong rollouts (arXiv 2503.14476, section 3.4); free of torch.

It shapes the reward of RL alone: evaluation and filter never see it.
"""

from __future__ import annotations

from dataclasses import replace

from training.config import RlConfig
from training.rewards import Reward


def overlong_part(num_tokens: int, limit: int, config: RlConfig) -> float:
    """What a rollout's length takes from its reward, 0 or less.

    Nothing up to `limit - overlong_buffer_tokens`, from there linearly down to -`overlong_penalty`
    at the limit. DAPO counts the response; here the whole conversation counts, observations too,
    for it is what has to fit.

    Args:
        num_tokens: Tokens of the conversation.
        limit: Most tokens that a conversation may have.
        config: The buffer and the penalty.
    """
    buffer = config.overlong_buffer_tokens
    if not buffer:
        return 0.0
    excess = num_tokens - (limit - buffer)
    return -config.overlong_penalty * min(max(excess / buffer, 0.0), 1.0)


def shape_overlong(reward: Reward, num_tokens: int, limit: int, config: RlConfig) -> Reward:
    """A reward with the length's part in its total, and on its own beside format and answer.

    A rollout without a reward (infrastructure) stays without one.
    """
    if reward.total is None:
        return reward
    part = overlong_part(num_tokens, limit, config)
    return replace(reward, total=reward.total + part, overlong=part)
