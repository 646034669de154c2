"""Times the filter stage over many trajectories, made from recorded ones; prints its peak memory.

Run as `python benchmarks/filter.py --store STORE [--trajectories N]`, with a store that holds
rollouts (a run of profile `smoke` is enough). Copies of the recorded rollouts, each group with a
question of its own, are written into a store in a temporary folder; a child process then runs the
stage on them: read, reward, judge, write rewards, verdicts and examples. Beside it, in the same
run, the first trajectories are filtered as objects, one by one; the ratio is that of the times per
trajectory. `--similarity` switches on the search for near-duplicates, which reads every action.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.artifacts import ArtifactStore
from tasks.manifest import ArtifactRef, Manifest, StoredFile
from tasks.rows import trajectory_of
from training.config import RewardConfig
from training.rewards import reward_of

_ONE_BY_ONE = 5_000
_ROW_GROUP = 65_536


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True, help="a store that holds rollouts")
    parser.add_argument("--trajectories", type=int, default=1_000_000)
    parser.add_argument("--similarity", type=float, help="also drop near-duplicates")
    parser.add_argument("--threads", type=int, default=2, help="cores that the child may use")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(filter_in(options.child, options.similarity)))
        return
    with tempfile.TemporaryDirectory(prefix="filter-benchmark-") as name:
        start = time.perf_counter()
        source = ArtifactStore.open(options.store)
        size = copy_rollouts(source, ArtifactStore.open(name), options.trajectories)
        print(
            f"{options.trajectories:,} trajectories, {size / 1e6:,.0f} MB of Parquet, "
            f"written in {time.perf_counter() - start:.0f} s",
            flush=True,
        )
        row = in_child(options, Path(name))
        each = one_by_one(ArtifactStore.open(name))
    ratio = row["seconds"] / options.trajectories / each
    print(
        f"{'trajectories':>12}{'seconds':>9}{'peak MiB':>10}{'a second':>11}{'of one by one':>15}"
    )
    print(
        f"{options.trajectories:>12,}{row['seconds']:>9.1f}{row['peak_mib']:>10,.0f}"
        f"{options.trajectories / row['seconds']:>11,.0f}{ratio:>15.3f}"
    )
    print(f"kept {row['num_kept']:,.0f}; imports took {row['import_s']:.1f} s more")


def in_child(options: argparse.Namespace, store: Path) -> dict[str, Any]:
    # A process of its own, on as many cores as are asked for: its peak is the stage's.
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    command = [sys.executable, __file__, "--store", str(store), "--child", str(store)]
    if options.similarity is not None:
        command += ["--similarity", str(options.similarity)]
    result = subprocess.run(
        ["taskset", "-c", ",".join(map(str, cores)), *command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return dict(json.loads(result.stdout))


def filter_in(folder: Path, similarity: float | None) -> dict[str, float]:
    start = time.perf_counter()
    from tasks.config import StageConfig, StageContext
    from tasks.filter import filter_stage

    imported = time.perf_counter()
    rule = {} if similarity is None else {"near_duplicate_similarity": similarity}
    config = StageConfig.model_validate({"store": {"uri": str(folder)}, "filter": rule})
    context = StageContext(run="benchmark", iteration=1)
    done = filter_stage.fn(config, context, "made/questions", "made/trajectories")
    return {
        "seconds": time.perf_counter() - imported,
        "import_s": imported - start,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "num_kept": done.metrics["num_kept"],
    }


def one_by_one(store: ArtifactStore) -> float:
    """Seconds a trajectory of reading and rewarding them as objects."""
    asked = store.read_questions(made(store, "questions").ref)
    known = {question.question_id: question for question in asked}
    file = store.objects.path_of(made(store, "trajectories").files[0].path)
    start = time.perf_counter()
    batch = next(pq.ParquetFile(file).iter_batches(_ONE_BY_ONE))
    for row in batch.to_pylist():
        trajectory = trajectory_of(row)
        reward_of(trajectory, known[trajectory.question_id], RewardConfig())
    return (time.perf_counter() - start) / batch.num_rows


def made(store: ArtifactStore, name: str) -> Manifest:
    found = store.find("made", name)
    if found is None:
        raise SystemExit(f"the benchmark's {name} are not there")
    return found


def copy_rollouts(source: ArtifactStore, target: ArtifactStore, wanted: int) -> int:
    """Writes so many trajectories and their questions; returns the bytes of the former."""
    recorded, questions = recorded_rollouts(source)
    copies = -(-wanted // recorded.num_rows)
    path = f"artifacts/trajectories/{hashlib.sha256(str(wanted).encode()).hexdigest()}/rows.parquet"
    file = target.objects.path_of(path)
    file.parent.mkdir(parents=True)
    asked = []
    with pq.ParquetWriter(file, recorded.schema, compression="zstd") as writer:
        waiting: list[pa.Table] = []
        for copy in range(copies):
            rows = renamed(recorded, ("trajectory_id", "question_id"), copy)
            waiting.append(rows.slice(0, wanted - copy * recorded.num_rows))
            asked.append(renamed(questions, ("question_id",), copy))
            if sum(map(len, waiting)) >= _ROW_GROUP or copy == copies - 1:
                rows = with_noise(pa.concat_tables(waiting), copy)
                writer.write_table(rows, row_group_size=_ROW_GROUP)
                waiting.clear()
    target.write_table("questions", pa.concat_tables(asked), stage_key="made", name="questions")
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    size = file.stat().st_size
    manifest = Manifest(
        ref=ArtifactRef("trajectories", path.split("/")[2], "made", "trajectories"),
        files=(StoredFile(path, size, digest),),
        num_rows=wanted,
        parents=(),
        code_version="",
        run="benchmark",
        iteration=1,
        created_at="",
    )
    target.objects.put_new("manifests/made/trajectories.json", manifest.to_bytes())
    return size


def recorded_rollouts(store: ArtifactStore) -> tuple[pa.Table, pa.Table]:
    """All rollouts of a store, sorted by id, and the questions they ask."""
    tables, parents = [], set()
    for manifest in store.manifests():
        if manifest.ref.kind == "trajectories" and manifest.ref.key.startswith("rollout-"):
            tables.append(store.read_table(manifest.ref))
            parents |= {parent for parent in manifest.parents if parent.kind == "questions"}
    if not tables:
        raise SystemExit("the store holds no rollouts: evolvesearch run --profile smoke makes some")
    recorded = pa.concat_tables(tables).sort_by("trajectory_id")
    questions = pa.concat_tables([store.read_table(parent) for parent in parents])
    used = questions.filter(pc.is_in(questions["question_id"], recorded["question_id"].unique()))
    return recorded, used


def with_noise(table: pa.Table, seed: int) -> pa.Table:
    """The same rows with other logprobs, so that copies take the room of real trajectories."""
    table = table.combine_chunks()
    position = table.column_names.index("logprobs")
    lists = pa.concat_arrays(table["logprobs"].chunks)
    noise = np.random.default_rng(seed).normal(size=len(lists.values)).astype(np.float32)
    own = pa.ListArray.from_arrays(lists.offsets, pa.array(noise))
    return table.set_column(position, table.schema.field("logprobs"), own)


def renamed(table: pa.Table, names: tuple[str, ...], copy: int) -> pa.Table:
    """The table with ids of its own; copies stay sorted one after the other."""
    for name in names:
        position = table.column_names.index(name)
        ids = pc.binary_join_element_wise(f"{copy:07d}", table[name], "-")
        table = table.set_column(position, table.schema.field(name), ids)
    return table


if __name__ == "__main__":
    main()
