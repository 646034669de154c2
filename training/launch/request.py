"""What the driver asks of the ranks: a folder with a JSON document, and the examples of SFT."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from training.config import RlConfig, SftConfig, TrainingConfig

if TYPE_CHECKING:
    from training.checkpoints import Checkpoint
    from training.sft import Example

_REQUEST, _EXAMPLES = "request.json", "examples.parquet"


@dataclass(frozen=True, slots=True)
class Request:
    """One training.

    Attributes:
        kind: `sft` or `rl`.
        model_dir: The policy to start from.
        output_dir: Where the trained policy goes.
        scratch: For what the trainer writes on its way.
        stage: The configuration of SFT or of RL, according to `kind`.
        training: Precision, memory, ranks.
        seed: Seed of the training.
        takes_checkpoints: Whether checkpoints are wanted.
        resume: The checkpoint to go on from (`step`, `folder`, `progress`), None to start anew.
    """

    kind: Literal["sft", "rl"]
    model_dir: Path
    output_dir: Path
    scratch: Path
    stage: SftConfig | RlConfig
    training: TrainingConfig
    seed: int
    takes_checkpoints: bool
    resume: dict[str, Any] | None

    def write(self, folder: Path, examples: Sequence[Example] = ()) -> None:
        """Writes it with the examples of SFT; the document comes last."""
        if examples:
            columns = {
                "token_ids": [list(example.token_ids) for example in examples],
                "loss_mask": [list(example.loss_mask) for example in examples],
            }
            pq.write_table(pa.table(columns), folder / _EXAMPLES)
        document = {
            "kind": self.kind,
            "model_dir": str(self.model_dir.absolute()),
            "output_dir": str(self.output_dir.absolute()),
            "scratch": str(self.scratch.absolute()),
            "stage": self.stage.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "seed": self.seed,
            "takes_checkpoints": self.takes_checkpoints,
            "resume": self.resume,
        }
        part = folder / f"{_REQUEST}.part"
        part.write_text(json.dumps(document))
        part.rename(folder / _REQUEST)

    @classmethod
    def read(cls, folder: Path) -> Request:
        """Reads it back."""
        document = json.loads((folder / _REQUEST).read_text())
        stage = SftConfig if document["kind"] == "sft" else RlConfig
        return cls(
            kind=document["kind"],
            model_dir=Path(document["model_dir"]),
            output_dir=Path(document["output_dir"]),
            scratch=Path(document["scratch"]),
            stage=stage.model_validate(document["stage"]),
            training=TrainingConfig.model_validate(document["training"]),
            seed=document["seed"],
            takes_checkpoints=document["takes_checkpoints"],
            resume=document["resume"],
        )

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a folder holds a request by now."""
        return (folder / _REQUEST).is_file()


def read_examples(folder: Path) -> list[dict[str, list[int]]]:
    """The examples of SFT: `token_ids` and `loss_mask` of each."""
    rows: list[dict[str, list[int]]] = pq.read_table(folder / _EXAMPLES).to_pylist()
    return rows


def resumed_document(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    """A checkpoint as JSON values."""
    if checkpoint is None:
        return None
    return {
        "step": checkpoint.step,
        "folder": str(checkpoint.folder.absolute()),
        "progress": dict(checkpoint.progress),
    }
