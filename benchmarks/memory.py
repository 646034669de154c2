"""The estimate of a training's peak memory beside the peak that was measured, case by case.

Each case trains three steps of SFT in a process of its own, on sequences of random tokens that
share a prompt, with the allocator settings of a run's own children. The peak is that of PSS (pages
that are shared with other processes count in part) of the process and all that it starts, read
every 20 ms.

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

from tasks.training_memory import ranks_of
from training.config import TrainingConfig
from training.memory_check import MemoryNeed
from training.memory_estimate import GIB
from training.memory_pass import largest_batch
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
        lora: Whether adapters are trained instead of all weights.
        ranks: Processes that train.
        deepspeed: As `training.deepspeed`.
    """

    model: str
    micro_batch_size: int
    length: int
    precision: str = "bf16"
    checkpointing: bool = False
    lora: bool = False
    ranks: int = 1
    deepspeed: str = "off"

    @property
    def name(self) -> str:
        parts = [self.model, f"{self.micro_batch_size}x{self.length}", self.precision]
        parts += ["checkpointing"] if self.checkpointing else []
        parts += ["lora"] if self.lora else []
        parts += [f"{self.ranks}ranks"] if self.ranks > 1 else []
        return "-".join([*parts, *([self.deepspeed] if self.deepspeed != "off" else [])])

    @property
    def training(self) -> TrainingConfig:
        return TrainingConfig.model_validate(
            {
                "precision": self.precision,
                "device": "cpu",
                "micro_batch_size": self.micro_batch_size,
                "gradient_checkpointing": self.checkpointing,
                "lora": {"enabled": self.lora},
                "launch": {"num_processes": self.ranks},
                "deepspeed": self.deepspeed,
            }
        )


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
    Case("smollm2", 4, 350, lora=True),
    Case("tiny", 4, 350, "fp32", ranks=2),
    Case("smollm2", 1, 350, ranks=2),
    Case("smollm2", 1, 350, ranks=2, deepspeed="zero2"),
    Case("smollm2", 1, 350, lora=True, ranks=2, deepspeed="zero3"),
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
    from training.config import SftConfig
    from training.sft import Example, train_sft

    ids, masks = sequences(case)
    size = case.micro_batch_size * case.ranks
    examples = [Example(*pair) for pair in list(zip(ids, masks, strict=True))[: 3 * size]]
    train_sft(
        Path(model),
        examples,
        SftConfig(num_epochs=1, batch_size=size),
        case.training,
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
            peak = max(peak, sum(map(_pss, _descendants(process.pid))))
            time.sleep(_POLL_S)
        if process.exitcode:
            raise SystemExit(f"{case.name} ended with exit code {process.exitcode}")
    return peak


def _descendants(pid: int | None) -> list[int | None]:
    """A process and all that came of it."""
    found = [pid]
    for number in sorted(int(folder.name) for folder in Path("/proc").glob("[0-9]*")):
        try:
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) in found:
            found.append(number)
    return found


def _pss(pid: int | None) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def estimated(case: Case, model: Path) -> MemoryNeed:
    ids, masks = sequences(case)
    lengths, losses = [len(each) for each in ids], [sum(each) for each in masks]
    return MemoryNeed(
        stage="sft",
        shape=ModelShape.of_folder(model),
        training=case.training,
        batch_of=lambda size: largest_batch(lengths, losses, size, _PROMPT),
        bf16=case.precision == "bf16",
        ranks=ranks_of(case.training, "cpu"),
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
            model = folders[case.model]
            estimate, peak = estimated(case, model).worst, measured(case, model)
            ratio = estimate.num_bytes / peak
            print(
                f"{case.name:38} estimated {estimate.num_bytes / GIB:6.2f} GiB, "
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
                    "parts": dict(estimate.process.parts),
                    "beside": dict(estimate.beside.parts),
                }
            )
    if arguments.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
