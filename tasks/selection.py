"""Which questions a stage works on: disjoint, stable choices from the seed alone.

Iteration i works on part i of the training questions, as in EvolveSearch. A part has a fixed
number of questions, whatever the number of iterations, so that a run can be made longer without
changing what it has done; when all are used up, parts begin anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest

from agents.errors import UsageError
from agents.randomness import derive_seed
from agents.trajectory import Question
from evaluation.benchmarks import IN_DOMAIN, OUT_OF_DOMAIN, BenchmarkConfig, select_questions
from evaluation.gate import GateConfig
from evaluation.sources.names import benchmark_name
from tasks.config import StageConfig
from training.config import RlConfig

TRAIN_SPLIT = "train"
GATE_SPLIT = "gate"

_SAME_REWARD = 1e-6
"""Rewards closer than this are equal."""


def training_order(questions: Sequence[Question], seed: int) -> list[Question]:
    """The training questions, in an order that the seed alone decides."""
    return sorted(
        (question for question in questions if question.split == TRAIN_SPLIT),
        key=lambda question: (derive_seed(seed, question.question_id), question.question_id),
    )


def part_of(
    questions: Sequence[Question], config: StageConfig, iteration: int, cold_start: Collection[str]
) -> list[Question]:
    """The training questions of one iteration, first those to roll out.

    Args:
        questions: All questions.
        config: Sizes and seed.
        iteration: From 1.
        cold_start: Ids of the questions that the cold start was built from.

    Returns:
        As many as rollouts and RL need, fewer where there are no more; where the filter reads
        RL's own rollouts, as many as RL needs.

    Raises:
        UsageError: No training question is left.
    """
    reuse = config.rollout.reuse_cold_start_questions and bool(cold_start)
    pool = [
        question
        for question in training_order(questions, config.seed)
        if (question.question_id in cold_start) == reuse
    ]
    if not pool:
        raise UsageError(
            f"the cold start used all {len(cold_start)} training questions and left none to roll "
            "out; lower cold_start.num_questions or raise questions.num_training"
        )
    num_sampled = config.rollout.num_questions if config.rollout.source == "fresh" else 0
    size = min(len(pool), num_sampled + num_rl_questions(config.rl))
    first = (iteration - 1) * size
    return [pool[(first + offset) % len(pool)] for offset in range(size)]


def held_out_sets(questions: Sequence[Question]) -> dict[str, list[Question]]:
    """All benchmark questions by benchmark, the embedded benchmarks first.

    Sets from elsewhere are shuffled, the same for everyone: their ids may sort by difficulty, as
    MuSiQue's do by hops, and the first of them are asked.
    """
    found = {question.split for question in questions} - {TRAIN_SPLIT, GATE_SPLIT}
    known = [name for name in (*IN_DOMAIN, *OUT_OF_DOMAIN) if name in found]
    sets = {name: [q for q in questions if q.split == name] for name in known}
    for name in sorted(found - set(known)):
        sets[name] = sorted(
            (question for question in questions if question.split == name),
            key=lambda question: (derive_seed(question.question_id), question.question_id),
        )
    return sets


def held_out_questions(questions: Sequence[Question], config: BenchmarkConfig) -> list[Question]:
    """The questions that the benchmarks ask, benchmark by benchmark.

    Raises:
        UsageError: A configured name is not a benchmark.
    """
    sets = held_out_sets(questions)
    names = tuple(name if name in sets else benchmark_name(name) for name in config.names)
    chosen = select_questions(sets, config.model_copy(update={"names": names}))
    return [question for asked in chosen.values() for question in asked]


def gate_questions(questions: Sequence[Question], config: GateConfig) -> list[Question]:
    """The questions that decide about promotion: of all families alike, whatever their order.

    Stored questions come sorted by id and so by family; the first of them alone would let a
    policy pass that forgot all other families.
    """
    families: dict[str, list[Question]] = defaultdict(list)
    for question in sorted(
        (question for question in questions if question.split == GATE_SPLIT),
        key=lambda question: (derive_seed(question.question_id), question.question_id),
    ):
        families[question.family].append(question)
    in_turn = zip_longest(*(families[family] for family in sorted(families)))
    mixed = [question for turn in in_turn for question in turn if question is not None]
    return mixed[: config.num_questions]


def num_rl_questions(config: RlConfig) -> int:
    """How many questions RL asks of one iteration, if it asks none twice."""
    if not config.enabled:
        return 0
    return config.num_steps * config.prompts_per_step * (1 + config.max_resamples)


def rl_questions(
    part: Sequence[Question], rewards: Mapping[str, Sequence[float]], config: RlConfig
) -> list[Question]:
    """Chooses, of an iteration's questions, those that RL can learn most from.

    First come those that were not rolled out: SFT has just learnt from the others, and a policy
    that knows their answers by heart explores nothing (WebDancer's RL, too, asks questions that
    its SFT did not use; here the reward was 0.98 on questions of the SFT). Where too few are left,
    `rl.prompts = "mixed"` goes on with those whose rollouts were neither all equally good nor all
    equally bad, then those that were never right, and last those that always were.

    Args:
        part: The iteration's questions.
        rewards: Rewards of this iteration's rollouts by question id; may lack questions.
        config: How many, and which first.

    Returns:
        As many as RL asks, fewer where the part has no more.
    """
    ranks: dict[int, list[Question]] = defaultdict(list)
    best = max((reward for group in rewards.values() for reward in group), default=0.0)
    for question in part:
        group = rewards.get(question.question_id, ())
        if not group:
            rank = 0
        elif config.prompts == "all" or max(group) - min(group) > _SAME_REWARD:
            rank = 1
        else:
            rank = 2 if group[0] < best - _SAME_REWARD else 3
        ranks[rank].append(question)
    chosen = [question for rank in sorted(ranks) for question in ranks[rank]]
    return chosen[: num_rl_questions(config)]
