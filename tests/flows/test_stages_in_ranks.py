"""`evolvesearch sft` and `rl` on two DeepSpeed ranks, from the command to the stored policy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rehearsing import Rehearsal

from tasks.artifacts import ArtifactStore
from tasks.references import resolve

pytestmark = [pytest.mark.assets, pytest.mark.slow]

_MARK = "EVOLVESEARCH_TEST_MARK"
_COMMAND = "import sys; from deployments.cli.main import execute; sys.exit(execute(sys.argv[1:]))"
_LIMIT_S = 400.0
_DEATH_S = 30.0
RANKS = ("training.launch.num_processes=2", "training.deepspeed=zero2")


class Stage:
    """One stage of the rehearsal, alone and on two ranks."""

    def __init__(self, name: str, rehearsal: Rehearsal, *settings: str) -> None:
        store = Path(rehearsal.config.store.uri)
        self.partial = store / "partial"
        self._mark = uuid.uuid4().hex
        overrides = [word for each in (*RANKS, *settings) for word in ("--set", each)]
        self._command = [
            *(sys.executable, "-c", _COMMAND, name, "--json", "--profile", "smoke"),
            *("--store", str(store), "--run", rehearsal.name, "--name", f"{name}-in-ranks"),
            *overrides,
        ]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command,
            env={**os.environ, _MARK: self._mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> dict[str, Any]:
        process = self.start()
        out, err = process.communicate(timeout=_LIMIT_S)
        assert process.returncode == 0, err
        self.assert_nothing_runs()
        document: dict[str, Any] = json.loads(out)
        return document

    def assert_nothing_runs(self) -> None:
        until = time.monotonic() + _DEATH_S
        while left := list(self._processes()):
            assert time.monotonic() < until, f"these outlive the command: {left}"
            time.sleep(0.05)

    def _processes(self) -> Iterator[int]:
        mark = f"{_MARK}={self._mark}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes():
                    yield int(folder.name)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue


def rows_of(rehearsal: Rehearsal, document: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    store = ArtifactStore.open(rehearsal.config.store.uri)
    ref = resolve(store, kind, document["artifacts"][kind]["reference"])
    rows: list[dict[str, Any]] = store.read_table(ref).to_pylist()
    return rows


def test_sft_on_deepspeed_ranks_goes_on_after_a_kill_and_ends_with_a_policy(
    rehearsal: Rehearsal,
) -> None:
    stage = Stage("sft", rehearsal, "sft.num_epochs=30", "training.checkpoint_steps=5")
    process = stage.start()
    until = time.monotonic() + _LIMIT_S
    while not (kept := sorted(stage.partial.glob("sft-*/checkpoints/*.json"))):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "no checkpoint came"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    stage.assert_nothing_runs()
    first = json.loads(kept[0].read_bytes())["progress"]["reports"]
    document = stage.finish()
    rows = rows_of(rehearsal, document, "training_steps")
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    took = [row["wall_s"] for row in rows[: len(first)]]
    assert took == [report["wall_s"] for report in first], "these steps were not made again"
    assert document["artifacts"]["policy"]["digest"]
    assert not list(stage.partial.glob("sft-*/checkpoints/*.json"))


def test_rl_on_deepspeed_ranks_records_its_rollouts_and_ends_with_a_policy(
    rehearsal: Rehearsal,
) -> None:
    document = Stage("rl", rehearsal, "rl.num_steps=2").finish()
    assert document["metrics"]["num_steps"] == 2
    assert len(rows_of(rehearsal, document, "training_steps")) == 2
    assert len(rows_of(rehearsal, document, "trajectories")) == 2 * 4 * 4
    assert document["artifacts"]["policy"]["digest"]
