"""The estimate of a training's peak memory beside the peak that was measured, case by case.

Each case trains three steps of SFT in a process of its own, on sequences of random tokens that
share a prompt, with the allocator settings of a run's own children. The peak is that of PSS (pages
that are shared with other processes count in part), read every 20 ms.

Run as `python -m benchmarks.memory [--json] [--model FOLDER] [CASE …]`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.memory_estimate import GIB, MemoryEstimate, estimate_training, largest_batch
from training.model_shape import ModelShape

_PROMPT = 150
_POLL_S = 0.02


@dataclass(frozen=True)
class Case:
    """One training to measure.

    Attributes:
        model: `tiny` or `smollm2`.
        micro_batch_size: Sequences in one pass.
        length: Tokens of each sequence.
        precision: `bf16` or `fp32`.
        checkpointing: Whether activations are computed again.
    """

    model: str
    micro_batch_size: int
    length: int
    precision: str = "bf16"
    checkpointing: bool = False

    @property
    def name(self) -> str:
        parts = [self.model, f"{self.micro_batch_size}x{self.length}", self.precision]
        return "-".join([*parts, *(["checkpointing"] if self.checkpointing else [])])


CASES = (
    Case("tiny", 4, 350, "fp32"),
    Case("tiny", 8, 1000, "fp32"),
    Case("smollm2", 1, 350),
    Case("smollm2", 4, 350),
    Case("smollm2", 4, 896),
    Case("smollm2", 8, 896),
    Case("smollm2", 4, 896, checkpointing=True),
    Case("smollm2", 4, 350, "fp32"),
    Case("smollm2", 4, 896, "fp32"),
)


def sequences(case: Case) -> tuple[list[list[int]], list[list[int]]]:
    import random

    draw = random.Random(7)
    prompt = [draw.randrange(3, 400) for _ in range(_PROMPT)]
    rest = case.length - _PROMPT
    ids = [[*prompt, *(draw.randrange(3, 400) for _ in range(rest))] for _ in range(24)]
    masks = [[0] * _PROMPT + [int(at % 3 != 0) for at in range(rest)] for _ in ids]
    return ids, masks


def train(case: Case, model: str, output: str) -> None:
    """Three optimizer steps, in this process."""
    from training.config import SftConfig, TrainingConfig
    from training.sft import Example, train_sft

    ids, masks = sequences(case)
    size = case.micro_batch_size
    examples = [Example(*pair) for pair in list(zip(ids, masks, strict=True))[: 3 * size]]
    train_sft(
        Path(model),
        examples,
        SftConfig(num_epochs=1, batch_size=size),
        TrainingConfig(
            precision=case.precision,  # type: ignore[arg-type]
            device="cpu",
            micro_batch_size=size,
            gradient_checkpointing=case.checkpointing,
        ),
        Path(output) / "policy",
        1,
        lambda _: None,
    )


def measured(case: Case, model: Path) -> int:
    """Peak of PSS while a process trains, in bytes."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=train, args=(case, str(model), folder))
        process.start()
        peak = 0
        while process.is_alive():
            peak = max(peak, _pss(process.pid))
            time.sleep(_POLL_S)
        if process.exitcode:
            raise SystemExit(f"{case.name} ended with exit code {process.exitcode}")
    return peak


def _pss(pid: int | None) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def estimated(case: Case, model: Path) -> MemoryEstimate:
    ids, masks = sequences(case)
    lengths, losses = [len(each) for each in ids], [sum(each) for each in masks]
    return estimate_training(
        ModelShape.of_folder(model),
        largest_batch(lengths, losses, case.micro_batch_size, _PROMPT),
        bf16=case.precision == "bf16",
        gradient_checkpointing=case.checkpointing,
    )


def models(folder: Path, smollm2: str | None) -> dict[str, Path]:
    from agents.assets.model import ensure_model
    from training.tiny import make_tiny_policy

    texts = [f"What is the capital of country {n}? <answer>{n * 13}</answer>" for n in range(300)]
    real = Path(smollm2) if smollm2 else ensure_model("smollm2-135m-instruct")
    return {"tiny": make_tiny_policy(folder / "tiny", texts, seed=1), "smollm2": real}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="names of cases; all where none is given")
    parser.add_argument("--model", help="folder of SmolLM2-135M-Instruct")
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    arguments = parser.parse_args()
    from tasks.heavy.launcher import ALLOCATOR

    os.environ["GLIBC_TUNABLES"] = ALLOCATOR
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        folders = models(Path(folder), arguments.model)
        for case in CASES:
            if arguments.cases and case.name not in arguments.cases:
                continue
            estimate, peak = (
                estimated(case, folders[case.model]),
                measured(case, folders[case.model]),
            )
            ratio = estimate.num_bytes / peak
            print(
                f"{case.name:34} estimated {estimate.num_bytes / GIB:6.2f} GiB, "
                f"measured {peak / GIB:6.2f} GiB, ratio {ratio:.2f}  {estimate}",
                file=sys.stderr,
            )
            rows.append(
                {
                    **asdict(case),
                    "name": case.name,
                    "estimated_bytes": estimate.num_bytes,
                    "measured_bytes": peak,
                    "ratio": ratio,
                    "parts": dict(estimate.parts),
                }
            )
    if arguments.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
