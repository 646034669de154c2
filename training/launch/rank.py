"""One rank of a training: `python -m training.launch.rank FOLDER SOCKET`, started by accelerate.

It says hello before anything slow is imported, gives a sign of life each second, and tells of
steps, checkpoints and its end; an error is told before it ends. It ends at once where the driver or
the launcher does.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
import traceback
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.lifeline import describe_error, die_with
from training.launch.request import Request, read_examples
from training.launch.wire import Wire

if TYPE_CHECKING:
    import torch

    from training.checkpoints import Checkpoint
    from training.launch.world import World
    from training.reports import StepReport
    from training.step_rows import StepRows

BEAT_S = 1.0
"""Seconds between signs of life."""


class Driver:
    """The driver as a rank sees it.

    Args:
        wire: The connection to it.
        is_main: Whether this rank speaks for all.
    """

    def __init__(self, wire: Wire, *, is_main: bool) -> None:
        self._wire = wire
        self._is_main = is_main
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def on_begin(self) -> None:
        """Tells that training begins."""
        self._wire.send({"event": "begin"})

    def on_step(self, report: StepReport) -> None:
        """Tells of a step."""
        if self._is_main:
            self._wire.send({"event": "step", "report": asdict(report)})

    def save(self, checkpoint: Checkpoint) -> None:
        """Hands a checkpoint over, and returns when it is kept."""
        self._wire.send(
            {
                "event": "checkpoint",
                "step": checkpoint.step,
                "folder": str(checkpoint.folder.absolute()),
                "progress": checkpoint.progress,
            }
        )
        self._answers.get()

    def rows(self, step: int, weights: str) -> StepRows:
        """The rollouts of a step, made with the weights of a file."""
        from training.launch.step_files import read_rows

        self._wire.send({"event": "weights", "step": step, "weights": weights})
        return read_rows(Path(self._answers.get()["path"]))

    def _listen(self) -> None:
        for message in self._wire.messages():
            self._answers.put(message)
        # Without a driver there is nobody to train for.
        os.kill(os.getpid(), signal.SIGKILL)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_S)
            self._wire.send({"event": "beat"})


class RemoteRows:
    """Rollouts that the driver makes."""

    def __init__(self, driver: Driver, world: World, scratch: Path) -> None:
        self._driver = driver
        self._world = world
        self._scratch = scratch

    def of_step(self, step: int, model: torch.nn.Module) -> StepRows:
        """Lays the weights down, and takes the rollouts that the driver makes with them."""
        from training.launch.shared_weights import shared_weights
        from training.weights import kept_weights

        rows: StepRows | None = None
        weights = kept_weights(model, keep=self._world.is_main)
        if self._world.is_main:
            with shared_weights(weights, self._scratch) as path:
                rows = self._driver.rows(step, path)
        agreed = self._world.agree(rows)
        assert agreed is not None
        return agreed


def train(request: Request, folder: Path, driver: Driver, world: World) -> None:
    """Does what is asked for."""
    import torch

    from training.checkpoints import Checkpoint, Checkpointer, Checkpoints
    from training.config import RlConfig, SftConfig
    from training.launch.deepspeed_settings import without_compiler
    from training.policy_folder import resolve_device
    from training.rl import fit_rl
    from training.sft import Example, fit_sft
    from training.trainer_setup import COLLECTIVE_TIMEOUT_S, StepReporter, training_session

    training, resume = request.training, request.resume
    if resolve_device(training) == "cpu":
        # The trainer would do so itself, but with a time limit that long rollouts exceed.
        limit = timedelta(seconds=COLLECTIVE_TIMEOUT_S)
        torch.distributed.init_process_group("gloo", timeout=limit)
        if training.deepspeed != "off":
            without_compiler()
    checkpoints = None
    if request.takes_checkpoints:
        resumed = None
        if resume is not None:
            resumed = Checkpoint(resume["step"], Path(resume["folder"]), resume["progress"])
        checkpoints = Checkpoints(driver.save, resumed)
    request.scratch.mkdir(parents=True, exist_ok=True)
    shared: dict[str, Any] = {
        "output_dir": request.output_dir,
        "scratch": str(request.scratch),
        "seed": request.seed,
        "world": world,
    }
    with training_session(training):
        if isinstance(request.stage, SftConfig):
            reporter = StepReporter(driver.on_step, world, driver.on_begin)
            examples = [
                Example(row["token_ids"], row["loss_mask"]) for row in read_examples(folder)
            ]
            fit_sft(
                request.model_dir,
                examples,
                request.stage,
                training,
                reporter=reporter,
                checkpointer=Checkpointer(checkpoints, training, reporter, world=world),
                **shared,
            )
        else:
            assert isinstance(request.stage, RlConfig)
            reporter = StepReporter(driver.on_step, world, driver.on_begin)
            fit_rl(
                request.model_dir,
                RemoteRows(driver, world, request.scratch),
                request.stage,
                training,
                reporter=reporter,
                checkpointer=Checkpointer(checkpoints, training, reporter, world=world),
                **shared,
            )
    world.wait()


def main() -> None:
    """Trains as one rank, and tells the driver how it ended."""
    die_with(os.getppid())
    folder, socket = Path(sys.argv[1]), Path(sys.argv[2])
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    wire = Wire.to(socket)
    wire.send({"event": "hello", "rank": rank, "process": os.getpid()})
    code = 0
    driver = Driver(wire, is_main=rank == 0)
    try:
        from training.launch.world import World  # the first of the slow imports

        world = World(rank, size)
        train(Request.read(folder), folder, driver, world)
        if world.is_main:
            wire.send({"event": "done"})
        wire.send({"event": "bye"})
    except BaseException as error:
        traceback.print_exc()
        wire.send({"event": "error", **describe_error(error)})
        code = 1
    # Not sys.exit: peers that are gone would have the libraries' farewells hang.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
