"""Which questions a stage works on: disjoint, stable choices from the seed alone.

Iteration i works on part i of the training questions, as in EvolveSearch. A part has a fixed
number of questions, whatever the number of iterations, so that a run can be made longer without
changing what it has done; when all are used up, parts begin anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from agents.randomness import derive_seed
from agents.trajectory import Question
from tasks.config import StageConfig

TRAIN_SPLIT = "train"
GATE_SPLIT = "gate"


def of_split(questions: Sequence[Question], split: str, seed: int) -> list[Question]:
    """The questions of one split, in an order that the seed alone decides."""
    return sorted(
        (question for question in questions if question.split == split),
        key=lambda question: (derive_seed(seed, split, question.question_id), question.question_id),
    )


def cold_start_questions(questions: Sequence[Question], config: StageConfig) -> list[Question]:
    """The training questions with known chains that the cold start is built from."""
    if not config.cold_start.enabled:
        return []
    with_chain = [q for q in of_split(questions, TRAIN_SPLIT, config.seed) if q.chain]
    return with_chain[: config.cold_start.num_questions]


def part_of(questions: Sequence[Question], config: StageConfig, iteration: int) -> list[Question]:
    """The training questions of one iteration, first those to roll out.

    Args:
        questions: All questions.
        config: Sizes and seed.
        iteration: From 1.

    Returns:
        As many as rollouts and RL need, fewer where there are no more.
    """
    cold = cold_start_questions(questions, config)
    if config.rollout.reuse_cold_start_questions and cold:
        pool = cold
    else:
        used = {question.question_id for question in cold}
        train = of_split(questions, TRAIN_SPLIT, config.seed)
        pool = [question for question in train if question.question_id not in used]
    for_rl = config.rl.num_steps * config.rl.prompts_per_step * (1 + config.rl.max_resamples)
    size = min(len(pool), max(config.rollout.num_questions, for_rl if config.rl.enabled else 0))
    first = (iteration - 1) * size
    return [pool[(first + offset) % len(pool)] for offset in range(size)]


def rl_questions(
    part: Sequence[Question], rewards: Mapping[str, Sequence[float]], *, prefer_mixed: bool
) -> list[Question]:
    """Orders an iteration's questions by how much RL can learn from them.

    Args:
        part: The iteration's questions.
        rewards: Rewards of this iteration's rollouts by question id; may lack questions.
        prefer_mixed: Whether to put first those whose rollouts were neither all equally good
            nor all equally bad, then those not rolled out, then the others (those that were
            never right before those that always were).

    Returns:
        All of `part`, reordered; the order within a rank stays.
    """
    if not prefer_mixed:
        return list(part)
    ranks: dict[int, list[Question]] = defaultdict(list)
    best = max((reward for group in rewards.values() for reward in group), default=0.0)
    for question in part:
        group = rewards.get(question.question_id, ())
        if not group:
            rank = 1
        elif max(group) - min(group) > 1e-6:
            rank = 0
        else:
            rank = 3 if group[0] >= best else 2
        ranks[rank].append(question)
    return [question for rank in sorted(ranks) for question in ranks[rank]]
