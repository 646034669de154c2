"""What checkpoints cost: SFT that takes one after every other step, against its plain steps.

    python benchmarks/checkpoints.py [MODEL] [--steps N] [--json]

Steps with and without a checkpoint alternate in one run, so that other work on the machine slows
both. A checkpoint goes the whole way: written by the trainer, into a store on this disk, digested,
and the oldest removed; then the newest is read back and its digests are checked.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from agents.assets.model import ensure_model
from tasks.checkpoints import CheckpointLog
from tasks.storage.objects import ObjectStore
from training.checkpoints import Checkpoint, Checkpoints
from training.config import SftConfig, TrainingConfig
from training.sft import Example, train_sft

BATCH = 8
TOKENS = 330


def examples(vocabulary: int, count: int) -> list[Example]:
    rng = random.Random(1)
    mask = [0] * 150 + [1, 0] * ((TOKENS - 150) // 2)
    return [Example([rng.randrange(vocabulary) for _ in mask], mask) for _ in range(count)]


def measure(model: Path, num_steps: int, folder: Path) -> dict[str, float]:
    vocabulary = json.loads((model / "config.json").read_text())["vocab_size"]
    log = CheckpointLog(ObjectStore.open(folder / "store"), "sft-benchmark", keep=2)
    store_s: list[float] = []
    num_bytes = 0

    def save(checkpoint: Checkpoint) -> None:
        nonlocal num_bytes
        files = [path for path in checkpoint.folder.rglob("*") if path.is_file()]
        num_bytes = sum(path.stat().st_size for path in files)
        started = time.perf_counter()
        log.save(checkpoint)
        store_s.append(time.perf_counter() - started)

    # A checkpoint is taken after a step is reported, and so is part of the next one's time.
    report = train_sft(
        model,
        examples(vocabulary, BATCH * num_steps),
        SftConfig(num_epochs=1, batch_size=BATCH),
        TrainingConfig(checkpoint_s=None, checkpoint_steps=2),
        folder / "policy",
        1,
        lambda _: None,
        Checkpoints(save),
    )
    plain = [step.wall_s for step in report.steps[1:] if step.step % 2 == 0]
    after = [step.wall_s for step in report.steps[1:] if step.step % 2 == 1]
    started = time.perf_counter()
    assert log.latest(folder / "resumed") is not None
    taking_s = statistics.median(after) - statistics.median(plain)
    training = TrainingConfig()
    assert training.checkpoint_s is not None
    return {
        "step_s": statistics.median(plain),
        "checkpoint_mib": num_bytes / 2**20,
        "checkpoint_s": taking_s,
        "of_that_store_s": statistics.median(store_s),
        "read_back_s": time.perf_counter() - started,
        "share_at_default_percent": 100 * taking_s / (training.checkpoint_s + taking_s),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--steps", type=int, default=9, help="optimizer steps, 5 or more")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        figures = measure(ensure_model(arguments.model), arguments.steps, Path(scratch))
    if arguments.json:
        json.dump(figures, sys.stdout)
        print()
        return
    for name, value in figures.items():
        print(f"{name:26} {value:10.2f}")


if __name__ == "__main__":
    main()
