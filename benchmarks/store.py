"""The store's cost over plain pyarrow: writing shards and reading tables, as ratios in one run.

    python benchmarks/store.py [--rows 8 256 2048] [--repeats 31] [--json]

Rows are trajectories of a usual shape: some 350 tokens with their logprobs, three turns with pages'
text. Plain pyarrow turns the same Python rows into a Parquet file of the same schema and
compression, or reads such a file into a table. The store adds order, checks, the declared columns,
digests, and that a file appears whole. Both take turns, each repeat gives one ratio, and the median
is printed: other work on the machine slows both. The first size is that of a rollout's shards.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agents.trajectory import StopReason, Trajectory, Turn
from tasks.artifacts import ArtifactStore
from tasks.rows import trajectory_row
from tasks.schemas import TABLES
from tasks.shards import ShardLog

SCHEMA = TABLES["trajectories"].schema
GOALS = {"write_shard": 1.3, "read_table": 1.2}
WORDS = ("the", "currency", "of", "a", "country", "is", "its", "unit", "money", "river", "city")


def make_rows(count: int, seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows = [trajectory_row(make_trajectory(index, rng)) for index in range(count)]
    rng.shuffle(rows)  # trajectories are stored as they end
    return rows


def make_trajectory(index: int, rng: random.Random) -> Trajectory:
    def text(num_words: int) -> str:
        return " ".join(rng.choice(WORDS) + str(rng.randrange(50)) for _ in range(num_words))

    num_tokens = rng.randrange(250, 450)
    mask = [int(position > 150 and position % 70 < 30) for position in range(num_tokens)]
    turns = tuple(
        Turn(
            number,
            text(25),
            text(12),
            "search" if number < 2 else "answer",
            text(4),
            observation=text(60) if number < 2 else "",
            urls=(f"http://wiki.local/{rng.choice(WORDS)}",),
            num_prompt_tokens=rng.randrange(400),
            num_sampled_tokens=30,
            generate_s=rng.random(),
            tool_s=rng.random(),
        )
        for number in range(3)
    )
    return Trajectory(
        trajectory_id=f"{'p' * 12}-rollout-1-q{index // 6:05d}-{index % 6}",
        question_id=f"q{index // 6:05d}",
        rollout_index=index % 6,
        policy="p" * 64,
        iteration=1,
        source="rollout",
        temperature=0.7,
        token_ids=tuple(rng.randrange(49_152) for _ in range(num_tokens)),
        loss_mask=tuple(mask),
        logprobs=tuple(-rng.expovariate(2.0) * flag for flag in mask),
        num_prompt_tokens=150,
        turns=turns,
        answer=text(2),
        stop_reason=StopReason.ANSWER,
        format_ok=True,
        num_tool_calls=2,
        wall_s=rng.random() * 30,
    )


def compare(
    ours: Callable[[int], object], plain: Callable[[int], object], repeats: int
) -> tuple[float, float, float]:
    """Medians of the ratio and of both times, in milliseconds; the first repeat warms up."""
    ratios, own, other = [], [], []
    for repeat in range(repeats + 1):
        sides = [(own, ours), (other, plain)]
        for times, action in sides if repeat % 2 else sides[::-1]:
            started = time.perf_counter()
            action(repeat)
            times.append(time.perf_counter() - started)
        ratios.append(own[-1] / other[-1])
    return (
        statistics.median(ratios[1:]),
        1000 * statistics.median(own[1:]),
        1000 * statistics.median(other[1:]),
    )


def measure(count: int, repeats: int, folder: Path) -> dict[str, Any]:
    rows = make_rows(count, seed=count)
    store = ArtifactStore.open(folder / "store")
    plain_folder = folder / "plain"
    plain_folder.mkdir()

    log = ShardLog(store, "rollout-1")
    written = compare(
        lambda _: log.append(rows),
        lambda repeat: pq.write_table(
            pa.Table.from_pylist(rows, schema=SCHEMA),
            plain_folder / f"{repeat}.parquet",
            compression="zstd",
        ),
        repeats,
    )
    ref = store.write_table("trajectories", rows, stage_key="k", name="trajectories")
    size = store.manifest(ref).num_bytes
    read = compare(
        lambda _: store.read_table(ref),
        lambda repeat: pq.read_table(plain_folder / f"{repeat}.parquet"),
        repeats,
    )
    return {
        "rows": count,
        "kib": size / 1024,
        **_figures("write_shard", written),
        **_figures("read_table", read),
    }


def _figures(name: str, medians: tuple[float, float, float]) -> dict[str, float]:
    ratio, own_ms, plain_ms = medians
    return {f"{name}_over_plain": ratio, f"{name}_ms": own_ms, f"plain_{name}_ms": plain_ms}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 256, 2048])
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    found = []
    for count in arguments.rows:
        folder = Path(tempfile.mkdtemp(prefix="evolvesearch-store-"))
        try:
            found.append(measure(count, arguments.repeats, folder))
        finally:
            shutil.rmtree(folder)
    if arguments.json:
        json.dump({"goals": GOALS, "sizes": found}, sys.stdout)
        print()
        return
    for figures in found:
        print(f"{figures['rows']} rows, {figures['kib']:.0f} KiB")
        for name, goal in GOALS.items():
            print(
                f"  {name:12} {figures[f'{name}_ms']:8.2f} ms, plain "
                f"{figures[f'plain_{name}_ms']:8.2f} ms: {figures[f'{name}_over_plain']:.2f} "
                f"(goal: at most {goal})"
            )


if __name__ == "__main__":
    main()
