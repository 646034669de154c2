"""A run that is killed again and again comes to the result of one that is not.

No finished trajectory is lost or doubled, what is written is equal to the last bit, and nothing
outlives a kill. Three kills belong to every test run; `pytest -m faults` makes some fifty.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from killing import KilledRun, Moment, Outcome, Stage, spread
from rehearsing import SIZES, Rehearsal
from run_documents import without_times
from survived import note, record_survived

from tasks.artifacts import ArtifactStore
from tasks.leases import is_held
from tasks.runs import RunLog

pytestmark = [
    pytest.mark.assets,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc"),
]

SEED = 20260
ARGUMENTS = [
    *("--profile", "smoke"),
    *(part for key, value in SIZES.items() for part in ("--set", f"{key}={value}")),
    # More often than a run would.
    *("--set", "training.checkpoint_steps=1"),
]

SFT_0, ROLLOUT, SFT_1, RL = (0, "sft", ""), (1, "rollout", ""), (1, "sft", ""), (1, "rl", "")


def steps_per_epoch(rehearsal: Rehearsal) -> dict[Stage, int]:
    records = RunLog(ArtifactStore.open(rehearsal.config.store.uri).objects).stages(rehearsal.name)
    num_epochs = rehearsal.config.sft.num_epochs
    return {
        (record.iteration, record.stage, ""): int(record.metrics["num_steps"]) // num_epochs
        for record in records
        if record.stage == "sft"
    }


def check(store: Path, outcome: Outcome, run: str, rehearsal: Rehearsal) -> None:
    """Compares a killed run with the rehearsal, which was not killed."""
    came_to, expected = outcome.document["iterations"], rehearsal.document["iterations"]
    assert without_times(came_to) == without_times(expected)
    whole = RunLog(ArtifactStore.open(rehearsal.config.store.uri).objects).stages(rehearsal.name)
    killed_store = ArtifactStore.open(store)
    killed = RunLog(killed_store.objects).stages(run)
    digests = [
        {
            (r.iteration, r.stage, r.subject): {ref.name: ref.digest for ref in r.artifacts}
            for r in records
        }
        for records in (whole, killed)
    ]
    assert digests[0] == digests[1]
    assert {record.status for record in killed} == {"done"}
    for record in killed:
        tables = [ref for ref in record.artifacts if ref.kind == "trajectories"]
        if not tables or record.key not in outcome.finished:
            continue
        rows = killed_store.read_table(tables[0]).to_pylist()
        by_id = {row["trajectory_id"]: row for row in rows}
        assert len(by_id) == len(rows), "none is doubled"
        for name, row in outcome.finished[record.key].items():
            assert by_id[name]["token_ids"] == row["token_ids"], "none is lost"
            if record.stage != "rl":
                # The time that it took tells that it was not made again.
                assert by_id[name]["wall_s"] == row["wall_s"]
    # Given back, or that of a process killed right after its artifacts stood: it is dead.
    for path in killed_store.objects.paths("leases"):
        assert not is_held(killed_store.objects, path.split("/")[1])


def tell(outcome: Outcome) -> None:
    """Counts what was survived, for the end of the test run."""
    record_survived("kills", sum(outcome.kills.values()))
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.kills.items()))
    mean_s = sum(outcome.start_s) / len(outcome.start_s)
    note(
        f"kills: {kinds}; {mean_s:.1f} s from start to kill, "
        f"all children gone within {outcome.death_s:.2f} s"
    )


def test_three_kills_cost_nothing_but_time(
    rehearsal: Rehearsal, prefect_api: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(Path(ArtifactStore.open(rehearsal.config.store.uri).objects.root), store)
    log = RunLog(ArtifactStore.open(store).objects)
    # These three are to be computed again; equal results lead on to what is there.
    for record in log.stages(rehearsal.name):
        if (record.iteration, record.stage, record.subject) in (SFT_0, ROLLOUT, RL):
            shutil.rmtree(store / "manifests" / record.key)
            for ref in record.artifacts:
                # Else equal content keeps the bytes, and so the timings, that were there first.
                shutil.rmtree(store / "artifacts" / ref.kind / ref.digest)
    run = KilledRun(store, "killed", ARGUMENTS, tmp_path / "prefect", prefect_api, 3)
    moments = [Moment(SFT_0, "checkpoint", 0.05), Moment(ROLLOUT, "shard"), Moment(RL, "shard")]
    outcome = run.kill_at(moments, steps_per_epoch(rehearsal))
    # On a busy machine a stage's only shard may come and go between two looks.
    assert outcome.moments == [moment for moment in moments if moment not in outcome.missed]
    assert len(outcome.missed) <= 1, outcome.missed
    check(store, outcome, "killed", rehearsal)
    computed = {s["stage"] for s in outcome.document["stages"] if not s["reused"]}
    last = {"rl"} if outcome.moments[-1].stage == RL else {"rollout", "rl"}
    assert computed == last, "what was done before the last kill is not done again"
    tell(outcome)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_fifty_kills_cost_nothing_but_time(
    rehearsal: Rehearsal, prefect_api: str, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    plan = [
        ((0, "construct", ""), "begins~ begins~"),
        ((0, "benchmark", "base"), "begins shard shard~ done"),
        ((0, "cold_start", ""), "begins~ shard done"),
        ((0, "filter", ""), "begins"),
        (SFT_0, "begins~ writing checkpoint" + " checkpoint~ epoch" * 3 + " checkpoint~ done"),
        ((0, "benchmark", "cold start"), "shard shard~"),
        (ROLLOUT, "begins shard shard~ shard~ shard shard~ done"),
        ((1, "filter", ""), "begins"),
        (SFT_1, "writing checkpoint" + " checkpoint~ epoch" * 3 + " writing done"),
        (RL, "begins~ shard writing checkpoint~ shard~ checkpoint shard~ done"),
        ((1, "gate", "best"), "shard done"),
        ((1, "gate", "candidate"), "shard"),
        ((1, "benchmark", ""), "begins shard shard~ done"),
    ]
    moments = [moment for stage, events in plan for moment in spread(stage, events, chance)]
    run = KilledRun(tmp_path / "store", "killed", ARGUMENTS, tmp_path / "prefect", prefect_api, 10)
    outcome = run.kill_at(moments, steps_per_epoch(rehearsal))
    check(tmp_path / "store", outcome, "killed", rehearsal)
    assert sum(outcome.kills.values()) >= 40, outcome.missed
    assert {
        "rollout",
        "sft, in a step",
        "sft, at a checkpoint",
        "sft, in the midst of a checkpoint",
        "sft, at the epoch's end",
        "rl",
        "rl, in a step",
        "benchmark",
        "between stages",
    } <= set(outcome.kills)
    tell(outcome)
