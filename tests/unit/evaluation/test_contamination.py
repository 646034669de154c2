"""Test questions among the training questions: to the letter, in other words, by their facts."""

from __future__ import annotations

import random

import pytest

from agents.trajectory import Hop, Question
from evaluation.contamination.minhash import near_pairs, rows_of_a_band, signatures_of
from evaluation.contamination.overlap import Kind, find_overlaps
from evaluation.contamination.report import report_contamination
from evaluation.contamination.shingles import jaccard, shingle

LYON = "What is the currency of the country where the city of Lyon is located?"
CHAIN = (
    Hop("Lyon (city)", "country", "France", "http://wiki.local/Lyon"),
    Hop("France (country)", "currency", "Euro", "http://wiki.local/France"),
)


def question(
    text: str,
    *answers: str,
    key: str = "",
    split: str = "nq",
    chain: tuple[Hop, ...] = (),
) -> Question:
    return Question(key or text, text, answers or ("Euro",), split=split, chain=chain)


def only(train: list[Question], test: Question, similarity: float = 0.8):
    found = find_overlaps(train, [test], similarity)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("train", "test", "kind"),
    [
        (LYON, LYON, Kind.EXACT),
        (LYON, "what is the currency of the country where the city of  LYON is located", "fold"),
        ("Où est né Émile?", "ou est ne emile", Kind.NORMALISED),
        (LYON, "What is the currency of a country where the city of Lyon is located?", Kind.NEAR),
        (LYON, "What's the currency of the country where the city of Lyon is located?", Kind.NEAR),
        (LYON, "What is the currency of the country where the city of Osaka is located?", None),
        (LYON, "Who wrote Hamlet?", None),
        ("Who wrote it?", "?!", None),
        ("?!", "?", None),
        ("a", "a.", Kind.NORMALISED),
    ],
)
def test_how_a_test_question_is_like_a_training_question(train, test, kind):
    if kind == "fold":
        kind = Kind.NORMALISED
    overlap = only([question("Which river is the longest?"), question(train)], question(test))
    assert (overlap.kind if overlap else None) == kind
    if overlap:
        assert overlap.train.text == train
        assert (overlap.similarity < 1) == (kind is Kind.NEAR)


def test_the_strongest_likeness_counts_and_all_are_numbered():
    others = [
        LYON.replace("What is", "What's"),
        LYON.lower(),
        LYON,
        LYON.replace("the country", "a country"),
    ]
    overlap = only([question(text) for text in others], question(LYON))
    assert (overlap.kind, overlap.train.text, overlap.num_train) == (Kind.EXACT, LYON, 4)
    assert only([question(text) for text in others[:2]], question(LYON)).kind is Kind.NORMALISED


def test_a_shared_answer_is_told_apart_and_preferred():
    train = [question(LYON, "Franc", key="a"), question(LYON, "the euro", key="b")]
    assert not only(train, question(LYON, "Euro")).same_answer
    overlap = only(train, question(LYON, "The Euro!", "EUR"))
    assert (overlap.same_answer, overlap.train.question_id) == (True, "b")


def test_a_chain_that_is_part_of_a_training_chain_is_an_overlap_however_worded():
    airport = Hop("Lyon Airport (airport)", "city", "Lyon", "http://wiki.local/LYS")
    longer = question("In words of its own?", chain=(airport, *CHAIN))
    overlap = only([longer], question(LYON, chain=CHAIN))
    assert (overlap.kind, overlap.train) == (Kind.SAME_CHAIN, longer)
    assert (
        only([question("Other words?", chain=CHAIN)], question(LYON, chain=(airport, *CHAIN)))
        is None
    )
    assert only([question("Other words?")], question(LYON, chain=CHAIN)) is None


def test_facts_that_only_several_training_questions_have_seen_are_counted_apart():
    train = [question("First?", chain=CHAIN[:1]), question("Second?", chain=CHAIN[1:])]
    test = [question(LYON, chain=CHAIN), question("Unknown chain?")]
    report = report_contamination(train, test)
    (row,) = report.benchmarks.values()
    assert (row.num_overlapping, row.facts_seen, row.num_questions) == (0, 1, 2)
    assert report_contamination(train[:1], test).benchmarks["nq"].facts_seen == 0


def test_a_report_counts_each_test_question_once_in_its_benchmark():
    train = [question(LYON, key="a"), question(LYON.lower(), key="b"), question("Who wrote it?")]
    test = [
        question(LYON, key="1"),
        question(LYON, "Franc", key="2"),
        question("who wrote it", key="3", split="hotpotqa"),
        question(LYON.replace("What is", "What's"), key="4", split="hotpotqa"),
        question("Something else entirely?", split="hotpotqa"),
    ]
    report = report_contamination(train, test)
    assert (report.num_train, list(report.benchmarks)) == (3, ["nq", "hotpotqa"])
    first, second = report.benchmarks.values()
    assert (first.num_questions, first.exact, first.normalised, first.near) == (2, 2, 0, 0)
    assert (second.num_questions, second.exact, second.normalised, second.near) == (3, 0, 1, 1)
    assert (first.same_answer, second.same_answer) == (1, 2)
    assert (first.num_overlapping, second.num_overlapping) == (2, 2)
    assert [overlap.kind.value for overlap in report.overlaps] == [
        "exact",
        "exact",
        "normalised",
        "near",
    ]


def plain_shingles(text: str) -> set[str]:
    padded = f" {text} ".ljust(5)
    return {padded[start : start + 5] for start in range(len(padded) - 4)}


def random_texts(count: int, seed: int) -> list[str]:
    """Texts of which many are variants of each other, some with very few characters."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdeéñ東", k=rng.randint(1, 7))) for _ in range(60)]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 14))) for _ in range(count // 2)]
    while len(texts) < count:
        base = rng.choice(texts).split()
        base[rng.randrange(len(base))] = rng.choice(words)
        texts.append(" ".join(base))
    return list(dict.fromkeys(texts))


def test_shingles_are_those_of_each_text_alone():
    texts = random_texts(60, seed=1)
    shingles = shingle(texts)
    sets = [shingles.of(index) for index in range(len(texts))]
    for i, first in enumerate(texts):
        for j, second in enumerate(texts):
            own, other = plain_shingles(first), plain_shingles(second)
            expected = len(own & other) / len(own | other)
            assert jaccard(sets[i], sets[j]) == pytest.approx(expected)


@pytest.mark.parametrize("similarity", [0.5, 0.8, 0.95, 1.0])
def test_near_pairs_are_those_that_comparing_each_with_each_finds(similarity, monkeypatch):
    monkeypatch.setattr("evaluation.contamination.minhash._AT_ONCE", 70)
    texts, others = random_texts(300, seed=2), random_texts(300, seed=3)[:150]
    others += [text for text in texts[::9] if text not in others]
    expected = {
        (i, j)
        for i, first in enumerate(texts)
        for j, second in enumerate(others)
        if len(plain_shingles(first) & plain_shingles(second))
        / len(plain_shingles(first) | plain_shingles(second))
        >= similarity
    }
    found = [(i, j) for i, j, _ in near_pairs(texts, others, similarity)]
    assert len(found) == len(set(found))
    assert set(found) <= expected, "what is reported was compared exactly"
    assert len(expected) > 30
    assert len(found) >= 0.99 * len(expected)


def test_equal_minima_estimate_the_similarity():
    texts = random_texts(200, seed=4)
    shingles = shingle(texts)
    signatures = signatures_of(shingles)
    errors = [
        (signatures[i] == signatures[i + 1]).mean() - jaccard(shingles.of(i), shingles.of(i + 1))
        for i in range(len(texts) - 1)
    ]
    assert abs(sum(errors) / len(errors)) < 0.01
    assert max(map(abs, errors)) < 0.2


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.8, 0.9, 1.0])
def test_bands_find_nearly_all_pairs_at_the_threshold(similarity):
    rows = rows_of_a_band(similarity)
    assert 1 - (1 - similarity**rows) ** (128 // rows) >= 0.995
    assert rows == 128 or 1 - (1 - similarity ** (rows + 1)) ** (128 // (rows + 1)) < 0.995


def test_without_questions_nothing_overlaps():
    assert find_overlaps([], [question(LYON)]) == []
    assert find_overlaps([question(LYON)], []) == []
    assert report_contamination([], []).benchmarks == {}
