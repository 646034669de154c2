"""What a set of benchmark questions holds and what is wrong with it, before anything is sampled.

Needs neither a store nor a model, and loads neither Prefect nor torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from agents.trajectory import Question
from evaluation.benchmarks import BenchmarkConfig
from evaluation.sources.flaws import find_flaws
from evaluation.sources.load import QuestionFile
from tasks.selection import held_out_questions, held_out_sets


def file_report(
    read: QuestionFile, config: BenchmarkConfig, dev: Iterable[Question] = ()
) -> dict[str, Any]:
    """What a set of questions holds, what is wrong with it, and what would be asked of it.

    Args:
        read: The questions.
        config: Which benchmarks are asked, and how many questions of each.
        dev: Questions of a development set, to be looked for; none: not looked for.

    Returns:
        `source`, `known` (its row of the table of known sets, or None), `num_questions`,
        `num_asked` and `benchmarks`, by name: `num_questions` (all of the set), `num_asked`
        (with the limit), the counts of each flaw, `by_hops`, `left_out`, and `flagged`, the ids of
        the questions behind the counts.

    Raises:
        UsageError: A configured name is not a benchmark.
    """
    asked = held_out_questions(read.questions, config)
    num_asked = {name: sum(q.split == name for q in asked) for name in {q.split for q in asked}}
    dev = tuple(dev)
    sets = held_out_sets(read.questions)
    reports = {
        name: {
            "num_questions": len(sets[name]),
            "num_asked": num_asked[name],
            **_flaws_of(read, name, sets[name], dev),
        }
        for name in sets
        if name in num_asked
    }
    return {
        "source": read.source,
        "known": _known_row(read),
        "num_questions": sum(report["num_questions"] for report in reports.values()),
        "num_asked": len(asked),
        "benchmarks": reports,
    }


def counts_by_benchmark(read: QuestionFile) -> dict[str, dict[str, Any]]:
    """The report's counts alone, for all benchmarks of a set: what its manifest keeps."""
    return {
        name: {
            "num_questions": len(questions),
            **{
                key: value
                for key, value in _flaws_of(read, name, questions, ()).items()
                if key not in ("flagged", "num_in_dev")
            },
        }
        for name, questions in held_out_sets(read.questions).items()
    }


def _flaws_of(
    read: QuestionFile, name: str, questions: Sequence[Question], dev: Sequence[Question]
) -> dict[str, Any]:
    flaws = find_flaws(questions, dev)
    left_out = read.left_out.get(name, {})
    hops = sorted({question.num_hops for question in questions})
    return {
        "num_duplicates": len(flaws.duplicates),
        "num_long_golds": len(flaws.long_golds),
        "longest_gold_words": flaws.longest_gold_words,
        "num_yes_no": len(flaws.yes_no),
        "num_blank_golds": read.num_blank.get(name, 0),
        "num_in_dev": len(flaws.in_dev) if dev else None,
        "num_left_out": sum(left_out.values()),
        "left_out": left_out,
        "by_hops": {str(n): sum(q.num_hops == n for q in questions) for n in hops},
        "flagged": {
            "duplicates": list(flaws.duplicates),
            "long_golds": list(flaws.long_golds),
            "yes_no": list(flaws.yes_no),
            "in_dev": list(flaws.in_dev),
        },
    }


def _known_row(read: QuestionFile) -> dict[str, Any] | None:
    if (known := read.known) is None:
        return None
    if not known.sample and len(read.questions) != known.num_questions:
        # Owners change their sets; scores on another version do not compare.
        problem = f"{len(read.questions)} questions, {known.num_questions} expected"
    else:
        problem = ""
    return {
        "name": known.name,
        "owner": known.owner,
        "licence": known.licence,
        "home": known.home,
        "gated": known.gated,
        "where": str(known.where),
        "problem": problem,
    }
