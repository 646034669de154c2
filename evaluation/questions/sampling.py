"""Draws questions from pools of chains: spread over countries and relations, no giveaways."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from agents.randomness import derive_seed
from agents.trajectory import Question
from agents.web.facts.names import fold
from agents.web.graph import FactGraph
from evaluation.questions.chains import Chain, Solution, Solver
from evaluation.questions.templates import word_question


class Sampler:
    """Words chains as questions, and draws them in an order that depends on the seed alone."""

    def __init__(self, graph: FactGraph, seed: int) -> None:
        self._graph = graph
        self._solver = Solver(graph)
        self._seed = seed
        self._regions: dict[str, str] = {}

    def draw(
        self, chains: Iterable[Chain], split: str, accept: Callable[[Chain, Solution], bool]
    ) -> Iterator[Question]:
        """Yields the pool's questions, in turn from each country and for each relation.

        Populous countries have most cities and airports; in turn, their answers are not most of
        the right ones.

        Args:
            chains: The pool.
            split: Split of the questions.
            accept: Whether a solved chain may be used.
        """
        groups: dict[tuple[str, str], list[Chain]] = defaultdict(list)
        for chain in chains:
            start = chain.start.entity_id
            if start not in self._regions:
                self._regions[start] = self._region(start)
            groups[chain.path[-1], self._regions[start]].append(chain)
        chooser = random.Random(derive_seed(self._seed, "draw", split))
        queues = deque(groups[key] for key in sorted(groups))
        chooser.shuffle(queues)
        for queue in queues:
            chooser.shuffle(queue)
        while queues:
            queue = queues.popleft()
            question = None
            while queue and question is None:
                question = self._question(queue.pop(), split, accept)
            if question is not None:
                yield question
                queues.append(queue)

    def _region(self, entity_id: str) -> str:
        """The country that an entity belongs to, or itself."""
        for relation in ("country", "city", "capital_of", "used_in", "discovery_country"):
            for fact in self._graph.of(entity_id, relation)[:1]:
                if relation == "city" and fact.target is not None:
                    return self._region(fact.target)
                return fact.target or entity_id
        return entity_id

    def _question(
        self, chain: Chain, split: str, accept: Callable[[Chain, Solution], bool]
    ) -> Question | None:
        """The chain's question; None if it has no single answer, gives it away, or is refused."""
        solution = self._solver.solve(chain)
        if solution is None or not accept(chain, solution):
            return None
        chooser = random.Random(derive_seed(self._seed, "words", chain.key))
        text = word_question(chain, chooser)
        if gives_away(text, solution):
            return None
        digest = hashlib.sha256(chain.key.encode()).hexdigest()[:12]
        return Question(
            question_id=f"{chain.family}-{digest}",
            text=text,
            answers=solution.answers,
            family=chain.family,
            split=split,
            num_hops=chain.num_hops,
            start=chain.start.title,
            chain=solution.hops,
        )


def gives_away(text: str, solution: Solution) -> bool:
    """Whether a question's words contain its answer, or what a hop leads to."""
    words = f" {fold(text)} "
    found = (*solution.answers, *(hop.value for hop in solution.hops))
    return any(f" {fold(value)} " in words for value in found)


def mix(
    pools: Sequence[tuple[Iterator[Question], Iterator[Question]]],
    num_questions: int,
    obfuscation_rate: float,
    seed: int,
) -> tuple[Question, ...]:
    """Takes questions from each family in turn, so that any first part of them is balanced.

    Args:
        pools: The plain and the obfuscated questions of each family.
        num_questions: How many to take; fewer come back where the pools hold fewer.
        obfuscation_rate: Share to take from the obfuscated pools, while they last.
        seed: Seed of the choice between the two.
    """
    chooser = random.Random(derive_seed(seed, "mix"))
    taken: list[Question] = []
    turns = deque(pools)
    while turns and len(taken) < num_questions:
        plain, obfuscated = turns.popleft()
        first, second = plain, obfuscated
        if chooser.random() < obfuscation_rate:
            first, second = obfuscated, plain
        question = next(first, None) or (next(second, None) if obfuscation_rate > 0 else None)
        if question is not None:
            taken.append(question)
            turns.append((plain, obfuscated))
    return tuple(taken)
