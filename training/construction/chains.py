"""The cold start: trajectories built from known chains through the runner of all rollouts.

No human and no stronger model reasons here: the chain says which fact comes next, the tools
answer as they answer everyone, and what they do not show is not claimed.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from agents.chat_format import Tokenizer
from agents.config import AgentConfig
from agents.engines.scripted import ScriptedEngine
from agents.errors import StageError
from agents.failures import FailureBudget
from agents.randomness import derive_seed
from agents.rollout import RolloutJob
from agents.runner import run_rollouts
from agents.tools.base import Tool
from agents.trajectory import Question, StopReason, Trajectory
from training.construction.chain_script import ChainScript
from training.construction.config import ColdStartConfig

POLICY = "construction"
"""Stands for the policy's digest in trajectories that no policy sampled."""


def _balanced(questions: Sequence[Question], seed: int) -> Iterator[Question]:
    """The questions in random order, one family after the other, so that none is rare."""
    order = random.Random(derive_seed(seed, "cold_start"))
    families: dict[str, list[Question]] = defaultdict(list)
    for question in sorted(questions, key=lambda q: q.question_id):
        families[question.family].append(question)
    for members in families.values():
        order.shuffle(members)
    while families:
        for family in sorted(families):
            yield families[family].pop()
        families = {family: members for family, members in families.items() if members}


def build_cold_start(
    questions: Sequence[Question],
    tools: Mapping[str, Tool],
    tokenizer: Tokenizer,
    agent_config: AgentConfig,
    config: ColdStartConfig,
    seed: int,
    *,
    iteration: int = 0,
    on_finished: Callable[[Trajectory], None] | None = None,
    finished: Mapping[str, Trajectory] | None = None,
) -> list[Trajectory]:
    """Builds trajectories that follow the questions' known chains.

    Args:
        questions: Training questions; those without a chain are left out.
        tools: The tools by name, as rollouts use them.
        tokenizer: The policy's tokenizer.
        agent_config: Prompt and limits, as rollouts use them.
        config: How many, and how often pages are visited.
        seed: Seed of the run.
        iteration: Iteration to which they belong.
        on_finished: Called with each trajectory that is kept, as it ends.
        finished: Trajectories that an earlier start kept, by id: they are not built again.

    Returns:
        At most `config.num_questions` trajectories that end with their question's answer, fewer
        where fewer chains can be followed with these tools and limits. Logprobs and temperature
        are 0.

    Raises:
        ValueError: A question is held out from training.
        StageError: Not one chain could be followed, or too many tools failed.
    """
    held_out = [q.question_id for q in questions if q.split != "train"]
    if held_out:
        raise ValueError(f"question {held_out[0]} is held out; the cold start may not use it")
    waiting = _balanced([q for q in questions if q.chain], seed)
    before = dict(finished or {})
    kept: list[Trajectory] = []
    num_tried = 0
    budget = FailureBudget(agent_config)
    while missing := config.num_questions - len(kept):
        batch = list(islice(waiting, missing))
        if not batch:
            break
        num_tried += len(batch)
        jobs = [
            RolloutJob(question, 0, seed, 0.0, 1.0, iteration, POLICY, "construction")
            for question in batch
        ]
        left = [job for job in jobs if job.trajectory_id not in before]
        budget.plan(len(left))
        made = before | _follow(left, tools, tokenizer, agent_config, config, budget, on_finished)
        kept += [made[job.trajectory_id] for job in jobs if job.trajectory_id in made]
    if not kept:
        raise StageError(
            f"the cold start could follow none of {num_tried} chains; expected questions whose "
            "chains the tools can find within the agent's limits"
        )
    return kept


def _follow(
    jobs: Sequence[RolloutJob],
    tools: Mapping[str, Tool],
    tokenizer: Tokenizer,
    agent_config: AgentConfig,
    config: ColdStartConfig,
    budget: FailureBudget,
    on_finished: Callable[[Trajectory], None] | None,
) -> dict[str, Trajectory]:
    """Follows the chains of questions; the trajectories that did, by id."""
    scripts = {
        job.trajectory_id: ChainScript(
            job.question,
            derive_seed(job.seed, "cold_start", job.question.question_id),
            config.visit_rate,
        )
        for job in jobs
    }
    kept: dict[str, Trajectory] = {}

    def finish(trajectory: Trajectory) -> None:
        followed = not scripts[trajectory.trajectory_id].failed
        if followed and trajectory.stop_reason is StopReason.ANSWER:
            kept[trajectory.trajectory_id] = trajectory
            if on_finished is not None:
                on_finished(trajectory)
        budget.note(trajectory)

    engine = ScriptedEngine(scripts, tokenizer, agent_config.max_context_tokens)
    run_rollouts(jobs, engine, tokenizer, tools, agent_config, finish, description="Cold start")
    return kept
