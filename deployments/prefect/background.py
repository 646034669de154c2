"""Servers and workers that go on when the terminal is closed: `python -m … start NAME COMMAND …`.

For `make server worker-cpu worker-gpu` and `make stop`. Each process is known by its id and start
time, so that never another one that got the same id is taken for it. What keeps processes running
on a server of one's own is systemd (deployments/systemd), not this.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import httpx

from agents.errors import EvolveSearchError, StageError
from tasks.heavy.processes import ProcessRef, is_alive, process_of

_START_S = 600.0
"""A server with a fresh database takes 8 to 20 s on idle cores, and minutes on a busy machine."""
_STOP_S = 30.0
"""Time to end before a process is killed."""
_LOOK_S = 0.2


class Background:
    """The processes that were started from one checkout."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder with records and logs.

        Args:
            folder: It is made where it is not there.
        """
        self._folder = folder

    def start(
        self, name: str, command: Sequence[str], *, url: str | None = None, text: str = ""
    ) -> str:
        """Starts a process unless it runs already, and waits until it is ready.

        Args:
            name: Name of record and log.
            command: The command.
            url: What answers once it is ready; None: that is not asked.
            text: What it has written into its log once it is ready.

        Returns:
            What was done.

        Raises:
            StageError: It ended, or was not ready in time.
        """
        if (pid := self._running(name)) is not None:
            return f"{name} runs already, process {pid}"
        if url is not None and _answers(url):
            return f"{name} was not started: one answers at {url} already"
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        if (known := process_of(process.pid)) is not None:
            self._record(name).write_text(json.dumps(asdict(known)), "utf-8")
        until = time.monotonic() + _START_S
        while process.poll() is None and time.monotonic() < until:
            if (url is None or _answers(url)) and text in log.read_text("utf-8", "replace"):
                return f"{name} runs, process {process.pid}; its log: {log}"
            time.sleep(_LOOK_S)
        ended = f"ended with exit code {process.returncode}"
        reason = ended if process.poll() is not None else f"is not ready after {_START_S:.0f} s"
        raise StageError(f"{name} {reason}; {_tail(log)}")

    def stop(self) -> list[str]:
        """Ends all processes that were started, the last one first; says what was done."""
        records = sorted(
            self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True
        )
        said = []
        for record in records:
            name = record.stem
            pid = self._running(name)
            if pid is None:
                said.append(f"{name} has ended before")
            else:
                said.append(f"{name} ended" if self._end(name, pid) else f"{name} was killed")
            record.unlink()
        return said or ["nothing was started from here"]

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _running(self, name: str) -> int | None:
        """Id of a process that was started and lives."""
        try:
            record = json.loads(self._record(name).read_text("utf-8"))
        except FileNotFoundError:
            return None
        process = ProcessRef(**record)
        return process.pid if is_alive(process) else None

    def _end(self, name: str, pid: int) -> bool:
        """Ends a process; whether it ended by itself."""
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _STOP_S
        while time.monotonic() < until:
            if self._running(name) is None:
                return True
            time.sleep(_LOOK_S)
        os.killpg(pid, signal.SIGKILL)
        return False


def _answers(url: str) -> bool:
    try:
        # A proxy of the environment has no business with this machine's own server.
        with httpx.Client(trust_env=False, timeout=2.0) as client:
            return client.get(url).is_success
    except httpx.HTTPError:
        return False


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return f"its last words: {' / '.join(lines[-3:])} ({log})"


def main() -> int:
    """Starts one process, or stops all."""
    parser = argparse.ArgumentParser(prog="python -m deployments.prefect.background")
    parser.add_argument("--folder", type=Path, required=True, help="records and logs")
    actions = parser.add_subparsers(dest="action", required=True)
    start = actions.add_parser("start", help="start a process unless it runs")
    start.add_argument("name")
    start.add_argument("--url", help="what answers once it is ready")
    start.add_argument("--text", default="", help="what its log holds once it is ready")
    start.add_argument("command", nargs=argparse.REMAINDER)
    actions.add_parser("stop", help="end all that were started")
    arguments = parser.parse_args()
    background = Background(arguments.folder)
    try:
        if arguments.action == "stop":
            said = background.stop()
        else:
            said = [
                background.start(
                    arguments.name, arguments.command, url=arguments.url, text=arguments.text
                )
            ]
    except EvolveSearchError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write("".join(f"== {line}\n" for line in said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
