"""The whole loop, rehearsed with a tiny model: every stage has real work and leaves its record."""

from __future__ import annotations

from dataclasses import fields

import pytest

from agents.errors import StageError, UsageError
from agents.trajectory import StopReason
from evaluation.benchmarks import IN_DOMAIN, OUT_OF_DOMAIN
from evaluation.summaries import BenchmarkScore
from flows.evolve import STAGES, run_evolution
from tasks.artifacts import ArtifactStore
from tasks.catalog import Catalog
from tasks.runs import RunLog, StageRecord

pytestmark = pytest.mark.assets

LOOP = [stage for stage in STAGES if stage != "closed_book"]
"""The stages of the smoke profile, which asks nothing without tools."""
SCORES = {field.name for field in fields(BenchmarkScore)}


def _store(rehearsal) -> ArtifactStore:
    return ArtifactStore.open(rehearsal.config.store.uri)


def _stages(rehearsal, run: str | None = None) -> dict[tuple[int, str, str], StageRecord]:
    records = RunLog(_store(rehearsal).objects).stages(run or rehearsal.name)
    return {(record.iteration, record.stage, record.subject): record for record in records}


def test_the_document_has_every_policy_with_its_scores(rehearsal):
    document = rehearsal.document
    assert set(document) == {"run", "profile", "iterations", "stages", "wall_s"}
    assert [entry["name"] for entry in document["iterations"]] == [
        "base",
        "cold start",
        "iteration 1",
    ]
    for entry in document["iterations"]:
        assert list(entry["benchmarks"]) == [*IN_DOMAIN, *OUT_OF_DOMAIN]
        assert all(set(scores) == SCORES for scores in entry["benchmarks"].values())
        accuracies = [scores["accuracy"] for scores in entry["benchmarks"].values()]
        assert entry["average"] == pytest.approx(sum(accuracies) / 7)
    assert len({entry["policy"] for entry in document["iterations"]}) == 3
    assert document["iterations"][0]["promoted"] is True


def test_filter_rl_and_gate_have_something_to_do(rehearsal):
    stages = _stages(rehearsal)
    filtered = stages[1, "filter", ""].metrics
    assert filtered["num_kept"] >= 1
    assert filtered["num_mixed_groups"] >= 1
    explored = stages[1, "rl", ""].metrics
    assert explored["num_mixed_groups"] >= 1
    assert explored["grad_norm_max"] > 0
    assert {(1, "gate", "best"), (1, "gate", "candidate")} <= set(stages)


def test_every_stage_is_done_and_recorded(rehearsal):
    stages = _stages(rehearsal)
    assert {record.status for record in stages.values()} == {"done"}
    assert {key[:2] for key in stages} == {
        (0, "construct"),
        (0, "benchmark"),
        (0, "cold_start"),
        (0, "filter"),
        (0, "sft"),
        (1, "rollout"),
        (1, "filter"),
        (1, "sft"),
        (1, "rl"),
        (1, "gate"),
        (1, "benchmark"),
    }
    assert {subject for _, stage, subject in stages if stage == "benchmark"} == {
        "base",
        "cold start",
        "",
    }


def test_pages_are_visited_over_http(rehearsal):
    assert rehearsal.config.agents.visit.mode == "http"
    rollouts, _ = _stages(rehearsal)[1, "rollout", ""].artifacts
    visits = [
        turn
        for trajectory in _store(rehearsal).read_trajectories(rollouts)
        for turn in trajectory.turns
        if turn.action == "visit"
    ]
    assert any(turn.observation and not turn.error for turn in visits)


def test_rollouts_inside_rl_are_recorded_like_all_others(rehearsal):
    rl = rehearsal.config.rl
    artifacts = {ref.name: ref for ref in _stages(rehearsal)[1, "rl", ""].artifacts}
    recorded = _store(rehearsal).read_trajectories(artifacts["trajectories"])
    assert len(recorded) == rl.num_steps * rl.prompts_per_step * rl.num_generations
    assert {trajectory.source for trajectory in recorded} == {"rl"}
    assert all(len(t.token_ids) == len(t.logprobs) == len(t.loss_mask) for t in recorded)
    assert not any(t.stop_reason.is_infrastructure for t in recorded)
    assert any(t.stop_reason is StopReason.ANSWER for t in recorded)


def test_lineage_leads_from_the_last_policy_to_the_questions(rehearsal):
    catalog = Catalog(_store(rehearsal))
    found = catalog.query(
        """
        with recursive above(digest) as (
            select parent from lineage where child = '{}'
            union select l.parent from lineage l join above a on l.child = a.digest
        ) select count(*) as n from above join questions q on q.artifact = above.digest
        """.format(rehearsal.document["iterations"][-1]["policy"])
    )
    assert found.to_pylist()[0]["n"] > 0


def test_every_stage_that_can_be_redone_is_one_of_the_loop(rehearsal):
    assert {stage["stage"] for stage in rehearsal.document["stages"]} == set(LOOP)


def test_the_same_name_again_computes_nothing(rehearsal):
    before, manifests = _stages(rehearsal), _store(rehearsal).manifests()
    again = run_evolution(rehearsal.config, rehearsal.name)
    assert again["iterations"] == rehearsal.document["iterations"]
    names = [
        [(stage["stage"], stage["iteration"], stage["subject"]) for stage in document["stages"]]
        for document in (again, rehearsal.document)
    ]
    assert names[0] == names[1]
    assert all(stage["reused"] for stage in again["stages"])
    assert not any(stage["reused"] for stage in rehearsal.document["stages"])
    assert _stages(rehearsal) == before
    assert _store(rehearsal).manifests() == manifests


def test_another_name_reuses_what_is_there(rehearsal):
    again = run_evolution(rehearsal.config, "other")
    assert again["iterations"] == rehearsal.document["iterations"]
    assert all(record.reused for record in _stages(rehearsal, "other").values())


def test_redo_computes_one_stage_again_and_equal_results_reach_no_further(rehearsal):
    manifests = _store(rehearsal).manifests()
    again = run_evolution(rehearsal.config, "redone", redo=("filter",))
    assert again["iterations"] == rehearsal.document["iterations"]
    redone = {
        (iteration, stage)
        for (iteration, stage, _), record in _stages(rehearsal, "redone").items()
        if not record.reused
    }
    assert redone == {(0, "filter"), (1, "filter")}
    assert len(_store(rehearsal).manifests()) == len(manifests) + 6


def test_an_unknown_stage_to_redo_is_named(rehearsal):
    with pytest.raises(UsageError, match="unknown stage 'polish'"):
        run_evolution(rehearsal.config, "redone", redo=("polish",))


def test_a_failing_stage_leaves_nothing_half_written(rehearsal):
    manifests = _store(rehearsal).manifests()
    sft = rehearsal.config.sft.model_copy(update={"max_tokens": 8})
    config = rehearsal.config.model_copy(update={"sft": sft})
    with pytest.raises(StageError, match="nothing to learn from"):
        run_evolution(config, "failing")
    assert _store(rehearsal).manifests() == manifests
    partial = _store(rehearsal).objects.root / "partial"
    left = [path for path in partial.rglob("*") if path.is_file()]
    assert left == []
    assert _stages(rehearsal, "failing")[0, "sft", ""].status == "failed"
    record = RunLog(_store(rehearsal).objects).run("failing")
    assert record is not None
    assert (record.status, [entry.name for entry in record.policies]) == ("failed", ["base"])


def test_nothing_kept_skips_sft_and_the_policy_stays(rehearsal):
    config = rehearsal.config.model_copy(
        update={
            "iterations": 0,
            "filter": rehearsal.config.filter.model_copy(update={"min_tool_calls": 99}),
        }
    )
    document = run_evolution(config, "picky")
    base, cold = document["iterations"]
    assert cold["policy"] == base["policy"]
    assert cold["promoted"] is False
    assert _stages(rehearsal, "picky")[0, "sft", ""].status == "skipped"


@pytest.mark.slow
@pytest.mark.parametrize("stage", LOOP)
def test_each_stage_can_be_redone_alone(rehearsal, stage):
    again = run_evolution(rehearsal.config, f"redone-{stage}", redo=(stage,))
    assert again["iterations"] == rehearsal.document["iterations"]
    assert {each["stage"] for each in again["stages"] if not each["reused"]} == {stage}


@pytest.mark.slow
def test_without_reuse_everything_is_computed_again_to_the_same_bits(rehearsal):
    again = run_evolution(rehearsal.config, "anew", no_reuse=True)
    assert again["iterations"] == rehearsal.document["iterations"]
    whole, anew = _stages(rehearsal), _stages(rehearsal, "anew")
    for which, record in whole.items():
        digests = {ref.name: ref.digest for ref in record.artifacts}
        assert {ref.name: ref.digest for ref in anew[which].artifacts} == digests
    # What one call computes is not computed twice in it: equal questions to equal policies.
    assert {stage["stage"] for stage in again["stages"] if not stage["reused"]} == set(LOOP)


@pytest.mark.slow
def test_the_papers_order_is_rl_alone_then_filter_sft_and_rl(rehearsal):
    config = rehearsal.config.model_copy(
        update={
            "iterations": 2,
            "rollout": rehearsal.config.rollout.model_copy(update={"source": "rl"}),
        }
    )
    document = run_evolution(config, "explorer")
    # Base and cold start are those of the rehearsal; only what follows has another order.
    assert document["iterations"][:2] == rehearsal.document["iterations"][:2]
    stages = _stages(rehearsal, "explorer")
    names = {
        number: [stage["stage"] for stage in document["stages"] if stage["iteration"] == number]
        for number in (1, 2)
    }
    assert names[1] == ["rl", "gate", "gate", "benchmark"]
    assert names[2][:3] == ["filter", "sft", "rl"]
    rl = rehearsal.config.rl
    num_recorded = rl.num_steps * rl.prompts_per_step * rl.num_generations
    assert stages[2, "filter", ""].metrics["num_trajectories"] == num_recorded
