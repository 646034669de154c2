"""A rollout load whose texts are known and whose tokens are really generated.

Every trajectory makes its calls (three, unless told otherwise) and answers. What its turns say is
written beforehand; for each turn the engine generates just as many tokens, with the real
conversation as its prompt, and the written turn takes their place. So any two runners do the same
work, whatever the model is worth.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents.chat_format import ChatFormat
from agents.config import AgentConfig
from agents.engines.base import Engine, EngineLoad, Generation, SamplingParams, load_of
from agents.randomness import derive_seed
from agents.rollout import RolloutJob, RolloutSetting
from agents.tools.base import Observation
from agents.trajectory import Question

NUM_CALLS = 3
MEDIAN_S, SIGMA = 0.5, 0.5
SLOW_S, SLOW_SHARE = 10.0, 0.05
WORDS = [
    *("river", "stone", "treaty", "harbour", "copper", "engine", "village", "museum", "orbit"),
    *("planet", "king", "border", "island", "language", "currency", "mountain", "novel"),
    *("painter", "theory", "market", "railway", "bridge", "forest", "cathedral"),
]


@dataclass(frozen=True)
class Script:
    """One trajectory, written beforehand.

    Attributes:
        job: The rollout.
        queries: The query of each call.
        turns: Text of each turn, the answer last.
    """

    job: RolloutJob
    queries: tuple[str, ...]
    turns: tuple[str, ...]


@dataclass(frozen=True)
class Load:
    """All trajectories, and what the tools say and how long they take, by query."""

    scripts: tuple[Script, ...]
    observations: Mapping[str, str]
    latencies: Mapping[str, float]

    def without_latency(self) -> Load:
        """The same with tools that answer at once."""
        return replace(self, latencies=dict.fromkeys(self.latencies, 0.0))


def make_load(
    num_questions: int,
    num_rollouts: int,
    seed: int,
    calls: tuple[int, int] = (NUM_CALLS, NUM_CALLS),
    thought: tuple[int, int] = (3, 12),
) -> Load:
    """Writes a load; everything in it follows from the seed.

    Args:
        num_questions: Questions.
        num_rollouts: Trajectories of each.
        seed: Seed of all texts and latencies.
        calls: Fewest and most calls of a trajectory.
        thought: Fewest and most words of a turn's thought.
    """
    stream = random.Random(seed)

    def words(least: int, most: int) -> str:
        return " ".join(stream.choices(WORDS, k=stream.randint(least, most)))

    scripts, observations, latencies = [], {}, {}
    for question, rollout in itertools.product(range(num_questions), range(num_rollouts)):
        job = RolloutJob(
            question=Question(f"q{question}", f"Which {words(12, 12)} is it?", ("it",)),
            rollout_index=rollout,
            seed=derive_seed(seed, question, rollout),
            temperature=1.0,
            top_p=1.0,
            iteration=0,
            policy="benchmark",
            source="benchmark",
        )
        count = calls[0] if calls[0] == calls[1] else stream.randint(*calls)
        queries = tuple(f"{question} {rollout} {call} {words(2, 4)}" for call in range(count))
        turns = []
        for query in queries:
            call = json.dumps({"name": "search", "arguments": {"query": query}})
            turns.append(f"<think>{words(*thought)}</think>\n<tool_call>\n{call}\n</tool_call>")
            observations[query] = words(24, 36)
            slow = stream.random() < SLOW_SHARE
            latencies[query] = SLOW_S if slow else stream.lognormvariate(math.log(MEDIAN_S), SIGMA)
        turns.append(f"<think>{words(*thought)}</think>\n<answer>{words(1, 3)}</answer>")
        scripts.append(Script(job, queries, tuple(turns)))
    # Questions of one text share their prompt, as a group's rollouts do.
    texts = {script.job.question.question_id: script.job.question for script in scripts}
    scripts = [
        replace(s, job=replace(s.job, question=texts[s.job.question.question_id])) for s in scripts
    ]
    return Load(tuple(scripts), observations, latencies)


class SlowSearch:
    """A tool that answers from the load, after the load's time."""

    name = "search"
    schema: Mapping[str, Any] = {
        "name": "search",
        "description": "Searches the web.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}},
            "required": ["query"],
        },
    }

    def __init__(self, load: Load) -> None:
        self._load = load

    async def __call__(self, arguments: Mapping[str, Any]) -> Observation:
        query = arguments["query"]
        await asyncio.sleep(self._load.latencies[query])
        return Observation(self._load.observations[query])


class ScriptedTokens:
    """Has an engine generate each turn's number of tokens and returns the written turn.

    Attributes:
        generating_s: Seconds in which at least one generation ran.
        num_prefilled: Prompt tokens that were new to their session.
        num_sampled: Tokens generated.
    """

    def __init__(self, engine: Engine, load: Load, chat: ChatFormat) -> None:
        self._engine = engine
        self._turns = {
            script.job.trajectory_id: [
                [*chat.encode(turn), chat.end_of_turn] for turn in script.turns
            ]
            for script in load.scripts
        }
        self._seeds = {script.job.trajectory_id: script.job.seed for script in load.scripts}
        self._seen: dict[str, tuple[int, int]] = {}
        self._running, self._since = 0, 0.0
        self.generating_s = 0.0
        self.num_prefilled = self.num_sampled = 0

    @property
    def max_context_tokens(self) -> int:
        return self._engine.max_context_tokens

    @property
    def load(self) -> EngineLoad:
        return load_of(self._engine) or EngineLoad(0, 0)

    async def generate(
        self, session: str, token_ids: Sequence[int], sampling: SamplingParams | None = None
    ) -> Generation:
        turn, seen = self._seen.get(session, (0, 0))
        written = self._turns[session][turn]
        self._seen[session] = turn + 1, len(token_ids)
        self.num_prefilled += len(token_ids) - seen
        self.num_sampled += len(written)
        seed = derive_seed(self._seeds[session], turn)
        if not self._running:
            self._since = time.perf_counter()
        self._running += 1
        try:
            generation = await self._engine.generate(
                session, token_ids, SamplingParams(1.0, 1.0, len(written), seed, ())
            )
        finally:
            self._running -= 1
            if not self._running:
                self.generating_s += time.perf_counter() - self._since
        return Generation(tuple(written), generation.logprobs, "stop")

    def release(self, session: str) -> None:
        self._seen.pop(session, None)
        self._engine.release(session)

    def close(self) -> None:
        """The engine is another's."""


def make_setting(tokenizer: Any, load: Load) -> RolloutSetting:
    """The agent's setting for this load."""
    most = max(len(script.queries) for script in load.scripts)
    config = AgentConfig(
        max_turns=most + 2,
        max_tool_calls=most + 1,
        max_context_tokens=1280,
        max_turn_tokens=160,
        observation_tokens=128,
    )
    return RolloutSetting(tokenizer, {"search": SlowSearch(load)}, config)
