"""`compare` and the marks of gains, on answers written through the store itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployments.cli.main import execute
from evaluation.significance import mcnemar
from tasks.artifacts import ArtifactStore
from tasks.benchmark_rows import PROTOCOL
from tasks.comparison import run_comparison
from tasks.manifest import ArtifactRef
from tasks.runs import RunLog, StageRecord

RULES = {"judge": "rules", "web": {"search": "local"}, "seed": 0}


class Measured:
    """A store, and what policies answered in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ArtifactStore.open(folder / "store")
        self.num_written = 0

    def policy(self, name: str) -> ArtifactRef:
        folder = self.folder / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"name": name}))
        (folder / "model.safetensors").write_bytes(name.encode())
        return self.store.write_policy(folder, stage_key=f"policy-{name}")

    def answers(
        self,
        policy: ArtifactRef,
        marks: Mapping[str, str],
        protocol: Mapping[str, Any] = RULES,
    ) -> ArtifactRef:
        """Marks by benchmark, one character a question: 1, 0 or ? for unjudged."""
        self.num_written += 1
        rows = [
            {
                "policy": policy.digest,
                "benchmark": benchmark,
                "question_id": f"{benchmark}-{place:03}",
                "attempt": 0,
                "family": "",
                "num_hops": 0,
                "trajectory_id": f"{place}",
                "predicted": "x",
                "golds": ["x"],
                "em": 0.0,
                "f1": 0.0,
                "accuracy": 0.0,
                "judge": None if mark == "?" else float(mark),
                "judged_by": protocol["judge"],
                "judge_reason": "",
                "stop_reason": "answer",
                "num_tokens": 4,
                "num_tool_calls": 1,
                "seconds": 1.0,
                "cost": 0.0,
            }
            for benchmark, each in marks.items()
            for place, mark in enumerate(each)
        ]
        return self.store.write_table(
            "answers",
            rows,
            stage_key=f"benchmark-{self.num_written}",
            name="answers",
            parents=[policy],
            metadata={PROTOCOL: dict(protocol)},
        )

    def compare(self, *words: str, code: int = 0) -> int:
        assert execute(["compare", *words, "--store", str(self.folder / "store")]) == code
        return code


@pytest.fixture
def measured(tmp_path: Path) -> Measured:
    return Measured(tmp_path)


def test_compare_gives_mcnemar_holm_and_the_average(
    measured: Measured, capfd: pytest.CaptureFixture[str]
) -> None:
    base, better = measured.policy("base"), measured.policy("better")
    measured.answers(base, {"nq": "0" * 40, "musique": "01" * 20, "gate": "0" * 9})
    measured.answers(better, {"nq": "1" * 20 + "0" * 20, "musique": "10" * 20, "gate": "1" * 9})
    measured.compare(base.digest[:8], better.digest[:8], "--json")
    document = json.loads(capfd.readouterr().out)
    assert document["first"]["policies"] == [base.digest]
    assert list(document["benchmarks"]) == ["musique", "nq", "average"]
    nq = document["benchmarks"]["nq"]
    assert (nq["first"], nq["second"], nq["only_second"]) == (0.0, 0.5, 20)
    assert nq["p_value"] == pytest.approx(mcnemar(0, 20).mid_p)
    assert nq["p_adjusted"] == pytest.approx(2 * nq["p_value"])
    assert nq["significant"]
    assert not document["benchmarks"]["musique"]["significant"]


def test_the_table_marks_what_is_not_significant(
    measured: Measured, capfd: pytest.CaptureFixture[str]
) -> None:
    base, better = measured.policy("base"), measured.policy("better")
    measured.answers(base, {"nq": "0" * 40, "musique": "0" * 40})
    measured.answers(better, {"nq": "1" * 20 + "0" * 20, "musique": "1" + "0" * 39})
    measured.compare(base.digest, better.digest)
    lines = capfd.readouterr().out.splitlines()
    marked = [line.split()[0] for line in lines if line.rstrip().endswith("n.s.")]
    assert marked == ["musique"]


def test_unjudged_answers_are_left_out_of_both_sides(
    measured: Measured, capfd: pytest.CaptureFixture[str]
) -> None:
    base, better = measured.policy("base"), measured.policy("better")
    measured.answers(base, {"nq": "0?00"})
    measured.answers(better, {"nq": "11?1"})
    measured.compare(base.digest, better.digest, "--json")
    assert json.loads(capfd.readouterr().out)["benchmarks"]["nq"]["num_questions"] == 2


def test_what_was_measured_differently_is_not_compared_unasked(
    measured: Measured, capfd: pytest.CaptureFixture[str]
) -> None:
    base, better = measured.policy("base"), measured.policy("better")
    measured.answers(base, {"nq": "0000"})
    measured.answers(better, {"nq": "1111"}, {**RULES, "judge": "gpt/deepresearcher"})
    measured.compare(base.digest, better.digest, code=2)
    assert "judge rules or gpt/deepresearcher" in capfd.readouterr().err
    measured.compare(base.digest, better.digest, "--across-settings", "--json")
    assert json.loads(capfd.readouterr().out)["benchmarks"]["nq"]["difference"] == 1.0


def test_the_settings_that_both_share_are_found_among_several(
    measured: Measured, capfd: pytest.CaptureFixture[str]
) -> None:
    base, better = measured.policy("base"), measured.policy("better")
    judged = {**RULES, "judge": "gpt/deepresearcher"}
    measured.answers(base, {"nq": "0011"})
    measured.answers(base, {"nq": "0000"}, judged)
    measured.answers(better, {"nq": "1111"}, {**RULES, "seed": 7})
    measured.compare(base.digest, better.digest, "--json")
    assert json.loads(capfd.readouterr().out)["benchmarks"]["nq"]["first"] == 0.5


def test_seeds_are_given_with_commas(measured: Measured, capfd: pytest.CaptureFixture[str]) -> None:
    base, *seeds = (measured.policy(name) for name in ("base", "one", "two"))
    measured.answers(base, {"nq": "0" * 20})
    for seed, ones in zip(seeds, (4, 6), strict=True):
        measured.answers(seed, {"nq": "1" * ones + "0" * (20 - ones)})
    measured.compare(base.digest, ",".join(seed.digest for seed in seeds), "--json")
    found = json.loads(capfd.readouterr().out)["benchmarks"]["nq"]
    assert (found["test"], found["second"]) == ("crossed_bootstrap", 0.25)


def test_only_the_benchmarks_asked_for_are_compared_and_averaged(
    measured: Measured, capfd: pytest.CaptureFixture[str]
) -> None:
    base, better = measured.policy("base"), measured.policy("better")
    measured.answers(base, {"nq": "0000", "musique": "0000", "triviaqa": "1111"})
    measured.answers(better, {"nq": "1111", "musique": "0000", "triviaqa": "0000"})
    measured.compare(base.digest, better.digest, "--benchmarks", "musique,TQ", "--json")
    found = json.loads(capfd.readouterr().out)["benchmarks"]
    assert list(found) == ["musique", "triviaqa", "average"]
    assert found["average"]["difference"] == -0.5
    measured.compare(base.digest, better.digest, "--benchmarks", "popqa", code=2)
    assert "shared benchmarks: musique, nq, triviaqa" in capfd.readouterr().err


def test_a_policy_without_answers_is_told_how_to_get_some(
    measured: Measured, capfd: pytest.CaptureFixture[str]
) -> None:
    base, better = measured.policy("base"), measured.policy("better")
    measured.answers(base, {"nq": "0"})
    measured.compare(base.digest, better.digest, code=2)
    assert f"benchmark --policy {better.digest[:12]}" in capfd.readouterr().err


def test_a_difference_in_a_part_of_a_section_is_named_by_its_key(
    measured: Measured, capfd: pytest.CaptureFixture[str]
) -> None:
    base, better = measured.policy("base"), measured.policy("better")
    measured.answers(base, {"nq": "0000"})
    measured.answers(better, {"nq": "1111"}, {**RULES, "web": {"search": "serper"}})
    measured.compare(base.digest, better.digest, code=2)
    assert "(web.search local or serper)" in capfd.readouterr().err


def test_a_runs_gains_are_those_of_its_last_policy_over_its_first(measured: Measured) -> None:
    base, last = measured.policy("base"), measured.policy("last")
    asked = {"benchmarks": {"nq": {}}}
    iterations = [{"policy": base.digest, **asked}, {"policy": last.digest, **asked}]
    assert run_comparison(measured.store, "r", iterations) == {}
    refs = [measured.answers(base, {"nq": "0" * 30}), measured.answers(last, {"nq": "1" * 30})]
    # Of another run, or not in the run's table: neither counts.
    measured.answers(last, {"nq": "0" * 30, "musique": "1" * 30})
    log = RunLog(measured.store.objects)
    for second, ref in enumerate(refs):
        started = f"2026-01-02T03:04:0{second}.000+00:00"
        record = StageRecord("r", second, "benchmark", ref.key, "done", artifacts=(ref,))
        log.save_stage(replace(record, started_at=started))
    found = run_comparison(measured.store, "r", iterations)
    assert list(found) == ["nq"]
    assert (found["nq"]["difference"], found["nq"]["significant"]) == (1.0, True)
    assert run_comparison(measured.store, "r", iterations[:1]) == {}
