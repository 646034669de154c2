"""The driver of a training in ranks: it has the examples or the rollouts, and keeps what comes.

The ranks are told what to do by a request, see nothing but files of it, and say step by step what
they did. In RL they ask for the rollouts of a step after they have laid the policy's weights down.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.errors import UsageError
from training.checkpoints import Checkpoint, Checkpoints
from training.config import TrainingConfig
from training.launch.group import RankGroup
from training.launch.request import Request, resumed_document
from training.launch.shared_weights import read_weights
from training.launch.step_files import write_rows
from training.policy_folder import resolve_device
from training.reports import StepReport
from training.step_rows import StepRows

if TYPE_CHECKING:
    import torch

    from training.config import RlConfig, SftConfig
    from training.sft import Example

RowsOfStep = Callable[[int, Mapping[str, "torch.Tensor"]], StepRows]


def check_share(batch_size: int, setting: str, training: TrainingConfig) -> None:
    """Checks that a batch can be shared evenly by the ranks.

    Raises:
        UsageError: It cannot.
    """
    ranks = training.launch.num_processes
    if batch_size % ranks:
        raise UsageError(
            f"{setting} is {batch_size} sequences, which {ranks} ranks cannot share evenly: make "
            "it a multiple of training.launch.num_processes"
        )


class RankedTraining:
    """One training in ranks.

    Args:
        model_dir: The policy to start from.
        stage: The configuration of SFT or RL.
        training: Ranks, precision, memory.
        output_dir: Where the trained policy goes.
        seed: Seed of the training.
        on_step: Called after each optimizer step.
        checkpoints: Where checkpoints go, and the one to go on from; None: none are taken.
    """

    def __init__(
        self,
        model_dir: Path,
        stage: SftConfig | RlConfig,
        training: TrainingConfig,
        output_dir: Path,
        seed: int,
        on_step: Callable[[StepReport], None],
        checkpoints: Checkpoints | None,
    ) -> None:
        self._model_dir = model_dir
        self._stage = stage
        self._training = training
        self._output_dir = output_dir
        self._seed = seed
        self._on_step = on_step
        self._checkpoints = checkpoints

    def sft(self, examples: Sequence[Example]) -> list[StepReport]:
        """Fine-tunes on examples; returns the reports of all steps.

        Raises:
            EvolveSearchError: A rank raised it.
            RankDiedError: A rank, or what started it, was killed or crashed.
            RankHungError: A rank was silent, or made no step, for too long.
            RankMemoryError: A rank ran out of memory.
        """
        return self._run("sft", examples, None, dict)

    def rl(
        self, rows_of_step: RowsOfStep, progress: Callable[[], Mapping[str, Any]]
    ) -> list[StepReport]:
        """Trains on rollouts; returns the reports of all steps.

        Args:
            rows_of_step: Makes the rollouts of a step (from 1) with the weights that it is given.
            progress: What a checkpoint has to know of the rollouts.

        Raises:
            EvolveSearchError: As `sft`; or `rows_of_step` raised it.
        """
        return self._run("rl", (), rows_of_step, progress)

    def _run(
        self,
        kind: Any,
        examples: Sequence[Example],
        rows_of_step: RowsOfStep | None,
        progress: Callable[[], Mapping[str, Any]],
    ) -> list[StepReport]:
        resumed = self._checkpoints.resume_from if self._checkpoints else None
        resume = resumed_document(resumed)
        steps = [] if resumed is None else resumed.reports
        with self._folder() as folder:
            if resume is not None:
                files = self._seen_by_all(Path(resume["folder"]), folder / "resumed")
                resume["folder"] = str(files)
            request = Request(
                kind=kind,
                model_dir=self._seen_by_all(self._model_dir, folder / "policy"),
                output_dir=self._output_dir,
                scratch=folder / "trainer",
                stage=self._stage,
                training=self._training,
                seed=self._seed,
                takes_checkpoints=self._checkpoints is not None,
                resume=resume,
            )
            request.write(folder, examples)
            cpu = resolve_device(self._training) == "cpu"
            launch = self._training.launch
            with RankGroup(folder, launch, cpu=cpu) as group:
                while True:
                    message = group.next_message()
                    match message["event"]:
                        case "step":
                            steps.append(StepReport(**message["report"]))
                            self._on_step(steps[-1])
                        case "checkpoint":
                            self._save(message, progress())
                            group.answer({"answer": "kept"})
                        case "weights":
                            assert rows_of_step is not None
                            with group.interruption:
                                weights = read_weights(message["weights"])
                                rows = rows_of_step(message["step"], weights)
                            path = write_rows(rows, folder / "rows.parquet")
                            group.answer({"answer": "rows", "path": str(path)})
                        case "done":
                            group.finish()
                            return steps

    def _save(self, message: Mapping[str, Any], more: Mapping[str, Any]) -> None:
        assert self._checkpoints is not None
        progress = {**message["progress"], **more}
        self._checkpoints.save(Checkpoint(message["step"], Path(message["folder"]), progress))

    def _seen_by_all(self, source: Path, copy: Path) -> Path:
        """A folder of this machine, or its copy where others have to read it."""
        if self._training.launch.num_machines == 1:
            return source
        return Path(shutil.copytree(source, copy))

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A folder for the request, which all machines see; removed at the end."""
        shared = self._training.launch.folder
        root = Path(shared) if shared is not None else self._output_dir.parent
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="ranks-", dir=root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
