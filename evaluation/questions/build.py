"""The question set of a run: training, the gate's split, and the held-out benchmarks.

- `families.py` enumerates chains of facts, `chains.py` checks that each has one right answer.
- `splits.py` says which entity may start a question of which split.
- `templates.py` words chains, `sampling.py` draws from them; questions of one's own are read by
  `evaluation.sources`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.errors import UsageError
from agents.trajectory import Question
from agents.web.facts.names import fold
from agents.web.graph import FactGraph
from evaluation.benchmarks import IN_DOMAIN, OUT_OF_DOMAIN
from evaluation.questions.chains import Chain, Solution
from evaluation.questions.config import QuestionsConfig
from evaluation.questions.families import POOLS, Families
from evaluation.questions.sampling import Sampler, mix
from evaluation.questions.splits import Part, Splits
from evaluation.sources.load import read_file


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """All questions of a run.

    Attributes:
        training: What the policy is trained on; any first part of it is a balanced mixture.
        gate: What the promotion gate compares policies on.
        benchmarks: Held-out questions by benchmark, in-domain ones first.
    """

    training: tuple[Question, ...]
    gate: tuple[Question, ...]
    benchmarks: dict[str, tuple[Question, ...]]


def build_questions(graph: FactGraph, config: QuestionsConfig, seed: int) -> QuestionSet:
    """Builds the question set; the same graph, config and seed give the same set.

    Args:
        graph: The facts; without any, all questions must come from files.
        config: Sizes, difficulty, files of one's own.
        seed: Which questions are drawn, and how they are worded. Which entities are held out
            does not depend on it.

    Raises:
        UsageError: The graph holds fewer questions than asked for, a file cannot be used, or
            there is neither a graph nor files.
    """
    builder = _Builder(graph, config, seed)
    benchmarks = builder.benchmarks()
    reported = {fold(q.text) for questions in benchmarks.values() for q in questions}
    gate = builder.gate(reported)
    training = builder.training(reported | {fold(question.text) for question in gate})
    return QuestionSet(training=training, gate=gate, benchmarks=benchmarks)


class _Builder:
    """Holds what the splits share while they are drawn."""

    def __init__(self, graph: FactGraph, config: QuestionsConfig, seed: int) -> None:
        self._config = config
        self._seed = seed
        self._has_facts = bool(graph.facts)
        self._graph = graph
        self._splits = Splits(graph)
        self._sampler = Sampler(graph, seed)
        self._families: dict[Part, Families] = {}

    def benchmarks(self) -> dict[str, tuple[Question, ...]]:
        """The seven built benchmarks, where there are facts, and those of one's own."""
        built = {}
        size = self._config.num_per_benchmark
        for name in (*IN_DOMAIN, *OUT_OF_DOMAIN) if self._has_facts else ():
            pools = [self._pools(name, "held_out", name)]
            built[name] = self._take(pools, size, name, "questions.num_per_benchmark")
        for name, path in self._config.benchmark_files.items():
            if name in built or name in ("train", "gate"):
                raise UsageError(f"questions.benchmark_files: the name {name!r} is taken")
            built[name] = read_file(Path(path), name).questions
        if not built:
            raise UsageError(
                "there are no facts to build benchmarks from: set questions.benchmark_files, "
                "or web.embedded = true"
            )
        return built

    def gate(self, reported: set[str]) -> tuple[Question, ...]:
        """The gate's questions, from the in-domain families.

        Args:
            reported: Folded texts of all benchmark questions; a gate question from a file that is
                worded like one of them is left out, or policies would be chosen by what is
                reported of them.
        """
        config = self._config
        if config.gate_file:
            kept = _unlike(config.gate_file, "gate", reported, "a benchmark question")
            return kept[: config.num_gate]
        self._need_facts("gate")
        pools = [self._pools(family, "gate", "gate") for family in IN_DOMAIN]
        return self._take(pools, config.num_gate, "gate", "questions.num_gate")

    def training(self, held: set[str]) -> tuple[Question, ...]:
        """The training questions, from the in-domain families.

        Args:
            held: Folded texts of all gate and benchmark questions; a training question from a
                file that is worded like one of them is left out.
        """
        config = self._config
        if config.training_file:
            kept = _unlike(config.training_file, "train", held, "a gate or benchmark question")
            return kept[: config.num_training]
        self._need_facts("training")
        pools = [self._pools(family, "train", "train") for family in IN_DOMAIN]
        return self._take(pools, config.num_training, "train", "questions.num_training")

    def _pools(
        self, family: str, part: Part, split: str
    ) -> tuple[Iterator[Question], Iterator[Question]]:
        """The plain and the obfuscated questions of one family for one split."""

        def accept(chain: Chain, solution: Solution) -> bool:
            if part == "held_out":
                return True
            if chain.num_hops > self._config.max_training_hops:
                return False
            return part == "gate" or self._splits.trainable(solution.touched)

        if part not in self._families:
            self._families[part] = Families(self._graph, self._splits, part)
        plain, obfuscated = POOLS[family]
        return (
            self._sampler.draw(plain(self._families[part]), split, accept),
            self._sampler.draw(obfuscated(self._families[part]), split, accept),
        )

    def _take(
        self,
        pools: list[tuple[Iterator[Question], Iterator[Question]]],
        num_questions: int,
        split: str,
        field: str,
    ) -> tuple[Question, ...]:
        taken = mix(pools, num_questions, self._config.obfuscation_rate, self._seed)
        if len(taken) < num_questions:
            raise UsageError(
                f"{field} is {num_questions}, but the facts give only {len(taken)} questions "
                f"for {split!r}: ask for fewer"
            )
        return taken

    def _need_facts(self, split: str) -> None:
        if not self._has_facts:
            raise UsageError(
                f"there are no facts to build {split} questions from: set "
                f"questions.{split}_file, or web.embedded = true"
            )


def _unlike(path: str, split: str, taken: set[str], whose: str) -> tuple[Question, ...]:
    """Questions of a file, without those that are worded like one of other splits.

    Raises:
        UsageError: None is left.
    """
    read = read_file(Path(path), split).questions
    kept = tuple(question for question in read if fold(question.text) not in taken)
    if not kept:
        raise UsageError(f"{path}: every question is also {whose}")
    return kept
