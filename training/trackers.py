"""Trackers of experiments: they draw a training's figures, beside the store that keeps them.

`training.report_to` names them as the trainers' libraries do. The libraries' own callbacks are not
used: they run inside the trainer, know its figures only, send the whole configuration along, and
one of them publishes a page at the end. Here each tracker gets the very figures of the store, from
the process that has them all, however many train. All of them write to a local folder; only the
tracker's own environment variables (a key, a server's address) have it send anything anywhere.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from agents.errors import UsageError
from training.reports import StepReport

TrackerName = Literal["trackio", "wandb", "mlflow", "tensorboard"]
"""Trackers that can be named; each is the name of its package too."""

PROJECT = "evolvesearch"
"""Project or experiment that the trackers file a run under."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A training as trackers know it.

    Attributes:
        name: Its name, the same when it goes on.
        folder: Where trackers put their files; None: trackio where it keeps all of them, the
            others in `tracking`.
        first_step: The first step that it will report: those from there on were lost.
    """

    name: str
    folder: Path | None = None
    first_step: int = 1

    def folder_of(self, name: TrackerName) -> Path:
        """The folder of one tracker, made where it is not there."""
        folder = ((self.folder or Path("tracking")) / name).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class Tracker(Protocol):
    """Draws figures step by step."""

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Takes the figures of a step."""
        ...

    def close(self) -> None:
        """Writes what is left."""
        ...


def chosen_trackers(names: Sequence[TrackerName] | None) -> tuple[TrackerName, ...]:
    """The trackers that a training reports to; imports none.

    Args:
        names: Those that are asked for; None: trackio where it is installed.

    Raises:
        UsageError: One that is asked for is not installed.
    """
    if names is None:
        return ("trackio",) if _is_installed("trackio") else ()
    for name in names:
        if not _is_installed(name):
            raise UsageError(
                f"training.report_to names {name!r}, but the package {name} is not installed: "
                f"pip install {name}, or leave it out"
            )
    return tuple(names)


def _is_installed(name: TrackerName) -> bool:
    spec = importlib.util.find_spec(name)
    # A folder of that name, such as one that a tracker wrote, has no file to import from.
    return spec is not None and spec.origin is not None


@contextmanager
def tracked_training(names: Sequence[TrackerName] | None, run: TrackedRun) -> Iterator[Trackers]:
    """Opens trackers for the duration of a block.

    Args:
        names: Those that are asked for; None: trackio where it is installed.
        run: The training.

    Raises:
        UsageError: One is not installed, or does not open.
    """
    with ExitStack() as stack:
        trackers: dict[str, Tracker] = {}
        for name in chosen_trackers(names):
            try:
                trackers[name] = _OPEN[name](run)
            except Exception as error:
                raise UsageError(f"training.report_to: {name} does not open: {error}") from error
            stack.callback(trackers[name].close)
        yield Trackers(trackers)


class Trackers:
    """All trackers of a training.

    One that fails is dropped with a warning: the store has its figures, and they are not worth
    hours of training.
    """

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = dict(trackers)

    def note(self, stage: str, report: StepReport, more: Mapping[str, float | None]) -> None:
        """Passes a step on.

        Args:
            stage: `sft` or `rl`, the prefix of every figure's name.
            report: The step.
            more: Further figures; None: not known.
        """
        if not self._trackers:
            return
        figures = {f"{stage}/{name}": value for name, value in _figures(report, more).items()}
        for name, tracker in list(self._trackers.items()):
            try:
                tracker.log(figures, report.step)
            except Exception as error:
                del self._trackers[name]
                logger.warning("%s takes no more figures (%s); the store does", name, error)


def _figures(report: StepReport, more: Mapping[str, float | None]) -> dict[str, float]:
    own: dict[str, float | None] = {
        "loss": report.loss,
        "grad_norm": report.grad_norm,
        "learning_rate": report.learning_rate,
        "tokens": report.tokens,
        "wall_s": report.wall_s,
        "reward_mean": report.reward_mean,
        "num_mixed_groups": report.num_mixed_groups,
    }
    return {
        name: float(value)
        for name, value in {**own, **report.metrics, **more}.items()
        if value is not None
    }


class _Tensorboard:
    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What an earlier start drew from this step on was lost with it.
        folder = run.folder_of("tensorboard") / run.name
        self._writer: Any = SummaryWriter(str(folder), purge_step=run.first_step)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Trackio:
    def __init__(self, run: TrackedRun) -> None:
        if run.folder is not None:
            os.environ["TRACKIO_DIR"] = str(run.folder_of("trackio"))
        self._trackio: Any = _package("trackio")
        self._trackio.init(project=PROJECT, name=run.name, resume="allow", embed=False)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._trackio.log(dict(figures), step=step)

    def close(self) -> None:
        self._trackio.finish()


class _Wandb:
    def __init__(self, run: TrackedRun) -> None:
        # Without a key it would ask for one, and without a terminal wait for ever.
        named = {"WANDB_API_KEY", "WANDB_MODE"} & set(os.environ)
        self._run: Any = _package("wandb").init(
            project=PROJECT,
            name=run.name,
            id=run.name,
            resume="allow",
            dir=str(run.folder_of("wandb")),
            mode=None if named else "offline",
        )

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        self._run.finish()


class _Mlflow:
    def __init__(self, run: TrackedRun) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._mlflow: Any = _package("mlflow")
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            database = run.folder_of("mlflow") / "mlflow.db"
            self._mlflow.set_tracking_uri(f"sqlite:///{database}")
        self._mlflow.set_experiment(PROJECT)
        self._mlflow.start_run(run_name=run.name)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(figures), step=step)

    def close(self) -> None:
        self._mlflow.end_run()


def _package(name: TrackerName) -> Any:
    """A tracker's package, which is the user's to install and no dependency."""
    return importlib.import_module(name)


_OPEN: Mapping[TrackerName, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": _Tensorboard,
    "trackio": _Trackio,
    "wandb": _Wandb,
    "mlflow": _Mlflow,
}
