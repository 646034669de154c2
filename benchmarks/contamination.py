"""Measures the search for test questions among very many training questions.

Run as `python -m benchmarks.contamination [--train N] [--test M]`; needs no inputs. The questions
are made up: one-off names in a few dozen wordings, as real sets repeat wordings, too. A tenth of
the test questions are planted: training questions to the letter, in other case and punctuation,
or with one letter changed. Prints seconds, peak memory, how many of the planted were found, and,
on a part that is small enough, how many of the pairs that comparing each with each finds. Where
`datasketch` is installed, its MinHash and LSH do the same work with as many hashes.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

from agents.trajectory import Question
from agents.web.facts.names import fold
from evaluation.contamination.minhash import near_pairs
from evaluation.contamination.overlap import SIMILARITY
from evaluation.contamination.report import report_contamination

_SEED = 20
_PART = (4_000, 400)
_TEMPLATES = (
    "What is the {a} of the {b} where {x} {c}?",
    "Who was the first {a} to {c} the {b} of {x}?",
    "In which year did {x} {c} the {b} that {y} {a}?",
    "Which {a} {c} both {x} and {y}?",
    "When did the {b} of {x} {c} its {a}?",
    "Are {x} and {y} both a {a} from the {b}?",
    "How many {a} did {x} {c} before the {b}?",
    "{x} {c} a {b} named after which {a}?",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=100_000, help="training questions")
    parser.add_argument("--test", type=int, default=3_000, help="test questions")
    options = parser.parse_args()
    train = make_questions(options.train, "train", random.Random(_SEED))
    test, planted = plant(train, options.test)
    start = time.perf_counter()
    report = report_contamination(train, test)
    took = time.perf_counter() - start
    row = report.benchmarks["test"]
    found = {overlap.test.question_id for overlap in report.overlaps}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{len(train):,} × {len(test):,} questions: {took:.1f} s, peak {peak:,} MB")
    print(f"exact {row.exact}, normalised {row.normalised}, near {row.near}")
    print(f"planted: {len(planted & found)} of {len(planted)} found")
    texts, others = ([fold(q.text) for q in part] for part in (train, test))
    near_s = timed(lambda: list(near_pairs(texts, others, SIMILARITY)))
    print(f"of which near-duplicates alone: {near_s:.1f} s")
    texts, others = texts[: _PART[0]], others[: _PART[1]] + texts[: _PART[1] : 7]
    expected = compare_all(texts, others)
    pairs = {(i, j) for i, j, _ in near_pairs(texts, others, SIMILARITY)}
    print(
        f"{len(texts):,} × {len(others):,}, each with each: {len(expected)} pairs, "
        f"{len(pairs & expected)} of them found, {len(pairs - expected)} others"
    )
    if importlib.util.find_spec("datasketch") is None:
        print("datasketch is not installed: its row is left out")
        return
    texts, others = ([fold(q.text) for q in part] for part in (train[:10_000], test))
    ours = timed(lambda: list(near_pairs(texts, others, SIMILARITY)))
    theirs = timed(lambda: with_datasketch(texts, others))
    print(f"{len(texts):,} × {len(others):,}: ours {ours:.1f} s, datasketch {theirs:.1f} s")


def make_questions(count: int, split: str, rng: random.Random) -> list[Question]:
    """Questions of a few wordings about names that hardly repeat."""
    common = [word(rng) for _ in range(400)]
    questions = []
    for number in range(count):
        names = [" ".join(word(rng).title() for _ in range(rng.randint(1, 3))) for _ in "xy"]
        parts = dict(zip("abcxy", (*rng.choices(common, k=3), *names), strict=True))
        text = rng.choice(_TEMPLATES).format(**parts)
        questions.append(Question(f"{split}-{number}", text, (word(rng),), split=split))
    return questions


def word(rng: random.Random) -> str:
    """A word of two to four syllables."""
    return "".join(
        rng.choice("bcdfglmnprst") + rng.choice("aeiou") + rng.choice(["", "", "n", "r"])
        for _ in range(rng.randint(2, 4))
    )


def plant(train: Sequence[Question], count: int) -> tuple[list[Question], set[str]]:
    """Test questions, and the ids of those that are among the training questions."""
    rng = random.Random(_SEED + 1)
    test = make_questions(count, "test", rng)
    chosen = rng.sample(range(count), count // 10)
    changes: list[Callable[[str], str]] = [
        str,
        lambda text: text.upper().replace("?", " !"),
        lambda text: text[: len(text) // 2] + "x" + text[len(text) // 2 + 1 :],
    ]
    for number, index in enumerate(chosen):
        text = changes[number % len(changes)](rng.choice(train).text)
        test[index] = Question(test[index].question_id, text, ("any",), split="test")
    return test, {test[index].question_id for index in chosen}


def compare_all(texts: Sequence[str], others: Sequence[str]) -> set[tuple[int, int]]:
    """Pairs that are similar enough, by sets of substrings and without any hash."""
    first, second = ([shingles(text) for text in part] for part in (texts, others))
    return {
        (i, j)
        for i, own in enumerate(first)
        for j, other in enumerate(second)
        if len(own & other) >= SIMILARITY * len(own | other)
    }


def shingles(text: str) -> set[str]:
    """All runs of five characters."""
    padded = f" {text} ".ljust(5)
    return {padded[start : start + 5] for start in range(len(padded) - 4)}


def with_datasketch(texts: Sequence[str], others: Sequence[str]) -> set[tuple[int, int]]:
    """The same search with datasketch, each candidate compared exactly."""
    from datasketch import MinHash, MinHashLSH

    def signature(text: str) -> Any:
        made = MinHash(num_perm=128)
        made.update_batch([each.encode() for each in shingles(text)])
        return made

    index = MinHashLSH(threshold=SIMILARITY, num_perm=128)
    for j, other in enumerate(others):
        index.insert(j, signature(other))
    return {
        (i, j)
        for i, text in enumerate(texts)
        for j in index.query(signature(text))
        if len(shingles(text) & shingles(others[j]))
        >= SIMILARITY * len(shingles(text) | shingles(others[j]))
    }


def timed(work: Callable[[], Any]) -> float:
    """Seconds that something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
