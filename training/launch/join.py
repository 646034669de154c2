"""Takes part in trainings as a further machine: `python -m training.launch.join FOLDER RANK`.

FOLDER is `training.launch.folder`, RANK this machine's `training.launch.machine_rank`. Whenever the
machine with the driver leaves a request there, this one starts its own ranks of that training. It
goes on until it is stopped (Ctrl-C), or with `--once` until the first training ended.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from agents.errors import EvolveSearchError
from training.launch.group import RankGroup
from training.launch.request import Request
from training.policy_folder import resolve_device

_POLL_S = 0.5


def main() -> int:
    """Joins trainings; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.launch.join", description=__doc__)
    parser.add_argument("folder", type=Path, help="training.launch.folder, seen by all machines")
    parser.add_argument("machine_rank", type=int, help="which machine this is, from 1")
    parser.add_argument("--once", action="store_true", help="end after the first training")
    arguments = parser.parse_args()
    if arguments.machine_rank < 1:
        parser.error("machine 0 is the one with the driver: the others are 1, 2, …")
    while True:
        try:
            folder = _next_request(arguments.folder, arguments.machine_rank)
            error = _join(folder, arguments.machine_rank)
        except KeyboardInterrupt:
            return 130
        if error is not None:
            sys.stderr.write(f"error: {error}\n")
        if arguments.once:
            return 0 if error is None else error.exit_code


def _next_request(root: Path, machine_rank: int) -> Path:
    """Waits for a request that this machine has not joined yet, and marks it as joined."""
    while True:
        for folder in sorted(root.glob("ranks-*")):
            mark = folder / f"joined-{machine_rank}"
            if Request.is_in(folder) and not mark.exists():
                mark.touch()
                return folder
        time.sleep(_POLL_S)


def _join(folder: Path, machine_rank: int) -> EvolveSearchError | None:
    training = Request.read(folder).training
    launch = training.launch.model_copy(update={"machine_rank": machine_rank})
    try:
        with RankGroup(folder, launch, cpu=resolve_device(training) == "cpu") as group:
            group.wait()
    except EvolveSearchError as error:
        return error
    return None


if __name__ == "__main__":
    sys.exit(main())
