"""Four processes write the same and different artifacts at once: all succeed, one of each stays."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from store_samples import trajectory

from tasks.artifacts import ArtifactStore
from tasks.manifest import ArtifactRef

NUM_WRITERS = 4

_WRITER = """
import json, sys
from pathlib import Path
from store_samples import trajectory
from tasks.artifacts import ArtifactStore
from tasks.rows import trajectory_row
from tasks.storage.config import StoreConfig

number, model = int(sys.argv[1]), Path(sys.argv[2])
config = StoreConfig.model_validate_json(sys.argv[3])
print("ready", flush=True)
input()

def table(rows, key):
    store = ArtifactStore.open(config)
    return store.write_table("trajectories", rows, stage_key=key, name="rollouts").to_json()

def row(index, **changes):
    return trajectory_row(trajectory(index, **changes))

made = {"own": [], "equal": [], "contested": []}
for turn in range(5):
    made["own"].append(table([row(1000 * (number + 1) + turn)], f"own-{number}-{turn}"))
    # Equal but for its timing, and the content itself another one.
    made["equal"].append(table([row(turn, wall_s=number)], f"equal-{turn}"))
    made["contested"].append(table([row(turn, answer=str(number))], f"contested-{turn}"))
store = ArtifactStore.open(config)
made["policy"] = [store.write_policy(model, stage_key="policy").to_json()]
print(json.dumps(made))
"""


def test_four_processes_at_once_lose_and_double_nothing(place, model, tmp_path):
    config = place.new()
    script = tmp_path / "writer.py"
    script.write_text(_WRITER)
    paths = [Path(__file__).parents[2], Path(__file__).parents[1]]
    code = f"import sys; sys.path[:0] = {[str(path) for path in paths]}; " + (
        f"exec(open({str(script)!r}).read())"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(number), str(model), config.model_dump_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(NUM_WRITERS)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    made = []
    for writer in writers:
        output, _ = writer.communicate(timeout=120)
        assert writer.returncode == 0
        made.append(
            {k: [ArtifactRef.from_json(r) for r in v] for k, v in json.loads(output).items()}
        )
    store = ArtifactStore.open(config)
    for kind in ("equal", "contested", "policy"):
        assert all(each[kind] == made[0][kind] for each in made), kind
    own = [ref for each in made for ref in each["own"]]
    refs = {*own, *made[0]["equal"], *made[0]["contested"], *made[0]["policy"]}
    assert {m.ref for m in store.manifests()} == refs
    assert len(refs) == 5 * NUM_WRITERS + 5 + 5 + 1
    for number, each in enumerate(made):
        for turn, ref in enumerate(each["own"]):
            assert store.read_trajectories(ref) == [trajectory(1000 * (number + 1) + turn)]
    for turn, ref in enumerate(made[0]["equal"]):
        (read,) = store.read_trajectories(ref)
        assert read.rollout_index == turn
    for ref in made[0]["contested"]:
        (read,) = store.read_trajectories(ref)
        assert read.answer in {str(number) for number in range(NUM_WRITERS)}
    weights = store.policy_folder(made[0]["policy"][0]) / "model.safetensors"
    assert weights.read_bytes() == (model / "model.safetensors").read_bytes()
