"""Which questions a stage works on: disjoint parts, and RL's choice."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from agents.errors import UsageError
from agents.trajectory import Question
from flows.profiles import load_profile
from tasks.selection import gate_questions, held_out_questions, part_of, rl_questions
from training.config import RlConfig

SIZES = {"rollout.num_questions": 6, "rl.num_steps": 2, "rl.prompts_per_step": 4}


def _questions(split: str, count: int) -> list[Question]:
    return [Question(f"{split}-{n:03d}", "?", ("x",), split=split) for n in range(count)]


QUESTIONS = [*_questions("train", 60), *_questions("gate", 5), *_questions("more_hops", 4)]


def _ids(questions: list[Question]) -> list[str]:
    return [question.question_id for question in questions]


def test_parts_of_iterations_are_disjoint_and_leave_out_the_cold_start():
    config = load_profile("laptop", SIZES)
    cold = {"train-001", "train-002"}
    parts = [_ids(part_of(QUESTIONS, config, iteration, cold)) for iteration in (1, 2, 3)]
    seen = [question_id for part in parts for question_id in part]
    assert len(seen) == len(set(seen)) == 42
    assert not cold & set(seen)
    assert all(question_id.startswith("train-") for question_id in seen)


def test_parts_do_not_depend_on_the_number_of_iterations_nor_on_the_order_of_questions():
    short = load_profile("laptop", {**SIZES, "iterations": 1})
    long = load_profile("laptop", {**SIZES, "iterations": 9})
    assert part_of(QUESTIONS, short, 2, ()) == part_of(QUESTIONS[::-1], long, 2, ())


def test_another_seed_gives_other_parts():
    one, other = (load_profile("laptop", {**SIZES, "seed": seed}) for seed in (1, 2))
    assert part_of(QUESTIONS, one, 1, ()) != part_of(QUESTIONS, other, 1, ())


def test_parts_begin_anew_when_all_questions_are_used():
    config = load_profile("laptop", SIZES)
    size = len(part_of(QUESTIONS, config, 1, ()))
    again = 1 + 60 // math.gcd(60, size)
    assert part_of(QUESTIONS, config, again, ()) == part_of(QUESTIONS, config, 1, ())


def test_a_part_that_rl_alone_asks_is_as_large_as_rl_needs():
    config = load_profile("laptop", {**SIZES, "rollout.source": "rl"})
    parts = [_ids(part_of(QUESTIONS, config, iteration, ())) for iteration in (1, 2)]
    assert [len(part) for part in parts] == [8, 8]
    assert not set(parts[0]) & set(parts[1])


def test_the_papers_rounds_ask_eight_thousand_new_questions_each():
    config = load_profile("paper")
    train = _questions("train", config.questions.num_training)
    seen: set[str] = set()
    for iteration in range(1, config.iterations + 1):
        part = rl_questions(part_of(train, config, iteration, ()), {}, config.rl)
        seen |= set(_ids(part))
        # 31 steps of 256 questions: 64 short of the paper's 8,000 a round.
        assert len(seen) == iteration * 31 * 256
    assert len(seen) == 4 * 7_936


def test_a_rehearsal_works_on_the_cold_starts_own_questions():
    config = load_profile("laptop", {**SIZES, "rollout.reuse_cold_start_questions": True})
    cold = {"train-001", "train-002", "train-003"}
    assert set(_ids(part_of(QUESTIONS, config, 2, cold))) == cold


def test_a_cold_start_that_leaves_no_question_is_named():
    config = load_profile("laptop", SIZES)
    with pytest.raises(UsageError, match="left none to roll out"):
        part_of(QUESTIONS, config, 1, {q.question_id for q in QUESTIONS})


def test_rl_prefers_unseen_questions_then_mixed_groups_then_wrong_then_right():
    part = _questions("train", 5)
    rewards = {
        "train-000": [1.0, 1.0],
        "train-001": [0.5, 0.5],
        "train-003": [1.0, 0.5],
        "train-004": [0.0, 1.0],
    }
    config = RlConfig(num_steps=1, prompts_per_step=5)
    assert _ids(rl_questions(part, rewards, config)) == [
        "train-002",
        "train-003",
        "train-004",
        "train-001",
        "train-000",
    ]


def test_rl_takes_as_many_as_it_asks_and_all_there_are_where_these_are_fewer():
    part = _questions("train", 5)
    assert len(rl_questions(part, {}, RlConfig(num_steps=1, prompts_per_step=3))) == 3
    assert len(rl_questions(part, {}, RlConfig(num_steps=9, prompts_per_step=3))) == 5


def test_rl_on_all_prompts_asks_unseen_questions_first_and_keeps_the_order():
    part = _questions("train", 4)
    config = RlConfig(num_steps=1, prompts_per_step=4, prompts="all")
    rewards = {"train-003": [0.0, 1.0], "train-001": [1.0, 1.0]}
    assert _ids(rl_questions(part, rewards, config)) == [
        "train-000",
        "train-002",
        "train-001",
        "train-003",
    ]


def test_gate_and_benchmarks_never_share_a_question_with_training():
    config = load_profile("laptop", {"gate.num_questions": 3})
    chosen = gate_questions(QUESTIONS, config.gate)
    assert len(chosen) == 3
    assert {question.split for question in chosen} == {"gate"}
    assert {q.split for q in held_out_questions(QUESTIONS, config.benchmark)} == {"more_hops"}


def test_the_gate_asks_all_families_alike_whatever_the_order_of_questions():
    questions = [
        Question(f"{family}-{n:02d}", "?", ("x",), family=family, split="gate")
        for family, count in (("a", 20), ("b", 20), ("c", 2))
        for n in range(count)
    ]
    config = load_profile("laptop", {"gate.num_questions": 8}).gate
    chosen = gate_questions(questions, config)
    assert Counter(question.family for question in chosen) == {"a": 3, "b": 3, "c": 2}
    assert gate_questions(questions[::-1], config) == chosen


def test_an_unknown_benchmark_is_named():
    config = load_profile("laptop", ['benchmark.names=["nonesuch"]'])
    with pytest.raises(UsageError, match="unknown benchmark 'nonesuch'"):
        held_out_questions(QUESTIONS, config.benchmark)
