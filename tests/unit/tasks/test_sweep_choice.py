"""Which policy of a sweep is the best: by the gate where it can say, and not by luck."""

from __future__ import annotations

from typing import Any

from tasks.sweep_choice import choose
from tasks.sweep_rows import SweepAnswers, SweepRow, difference_of


class Runs:
    """Rows of a sweep, with what their policies answered: 1 right, 0 wrong."""

    def __init__(self) -> None:
        self.rows: list[SweepRow] = []
        self.answers = SweepAnswers()

    def add(
        self, gate: str, average: str, *, status: str = "done", seed: int = 0, **settings: Any
    ) -> SweepRow:
        run = f"r{len(self.rows) + 1}"
        values = dict(settings) | ({"seed": seed} if seed else {})
        marks = [float(mark) for mark in average]
        row = SweepRow(
            len(self.rows) + 1,
            run,
            values,
            seed,
            status=status,
            policy=f"policy of {run}",
            average=sum(marks) / len(marks) if marks else None,
        )
        self.rows.append(row)
        self.answers.gate[run] = {f"s{seed}g{n}": float(mark) for n, mark in enumerate(gate)}
        self.answers.benchmarks[run] = {"b": {f"q{n}": mark for n, mark in enumerate(marks)}}
        return row

    def best(self):
        return choose(self.rows, self.answers, 0.95)


def test_the_gate_chooses_whatever_the_benchmarks_say():
    runs = Runs()
    runs.add("0001", "1111", lr=1)
    runs.add("0111", "0000", lr=2)
    best = runs.best()
    assert (best.run, best.by, best.score) == ("r2", "gate", 0.75)
    assert (best.setting, best.next_setting) == ("lr=2", "lr=1")
    assert best.difference.difference == 0.5
    assert "75.0% on the gate's questions; next is lr=1 with 25.0%" in best.reason
    assert "which chance may explain" in best.reason


def test_without_the_gate_the_benchmarks_choose_and_it_is_said():
    runs = Runs()
    runs.add("", "1100", lr=1)
    runs.add("11", "1110", lr=2)
    best = runs.best()
    assert (best.run, best.by, best.score) == ("r2", "benchmarks", 0.75)
    assert "the gate did not ask the last policy of r1" in best.reason
    assert "flatter" in best.reason


def test_a_setting_is_chosen_by_the_mean_of_its_seeds_not_by_its_luckiest():
    runs = Runs()
    runs.add("1111", "1", lr=1)
    runs.add("0000", "1", lr=1, seed=1)
    runs.add("1110", "1", lr=2)
    runs.add("0111", "1", lr=2, seed=1)
    best = runs.best()
    assert (best.setting, best.score, best.num_seeds) == ("lr=2", 0.75, 2)
    assert best.run == "r3"
    assert "mean of 2 seeds" in best.reason
    assert best.difference is None, "other seeds were asked other questions"


def test_seeds_that_were_asked_the_same_are_crossed():
    runs = Runs()
    for setting, marks in ((1, ("0000", "0001")), (2, ("1111", "1110"))):
        for seed, gate in enumerate(marks):
            row = runs.add(gate, "1", lr=setting, seed=seed)
            runs.answers.gate[row.run] = {f"g{n}": float(mark) for n, mark in enumerate(gate)}
    assert runs.best().difference.test == "crossed_bootstrap"


def test_runs_are_compared_on_the_questions_that_all_were_asked():
    runs = Runs()
    runs.add("00", "1", lr=1)
    runs.add("0111", "1", lr=2)
    assert runs.best().score == 0.5
    runs.answers.gate["r2"] = {"other": 1.0}
    assert runs.best().by == "benchmarks"


def test_a_tie_goes_to_the_first():
    runs = Runs()
    for lr in (1, 2, 3):
        runs.add("0101", "1", lr=lr)
    assert runs.best().run == "r1"


def test_failed_runs_have_no_say():
    runs = Runs()
    runs.add("0001", "1", lr=1)
    runs.add("1111", "1", lr=2, status="failed")
    runs.add("", "", lr=3, status="waiting")
    best = runs.best()
    assert (best.run, best.by, best.next_setting, best.difference) == ("r1", "gate", "", None)
    assert choose(runs.rows[1:], runs.answers, 0.95) is None


def test_differences_are_of_the_average_over_benchmarks():
    runs = Runs()
    first, second = runs.add("1", "1010", lr=1), runs.add("1", "1110", lr=2)
    assert difference_of(runs.answers, first, second, 0.95).difference == 0.25
    for run, marks in (("r1", (0.0, 0.0)), ("r2", (1.0, 0.0))):
        answered = {"x": marks[0], "y": marks[1]}
        runs.answers.benchmarks[run] = {**runs.answers.benchmarks[run], "c": answered}
    assert difference_of(runs.answers, first, second, 0.95).difference == 0.375
    runs.answers.benchmarks["r2"] = {}
    assert difference_of(runs.answers, first, second, 0.95) is None
