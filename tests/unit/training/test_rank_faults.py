"""Whatever happens to a process of a two-rank training, it ends soon, with one typed error.

The times are those of a laptop: a start of two ranks takes about ten seconds of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import faulty_rank
import pytest
from test_ranks import RL, SFT, assert_same_steps, rl, settings
from test_resumption import Kept, same_weights
from test_rl import QUESTIONS, Rollouts, parity
from test_sft import examples

from agents.errors import (
    DivergedError,
    EvolveSearchError,
    RankDiedError,
    RankHungError,
    RankMemoryError,
    StageError,
)
from agents.interruption import run_interruptibly
from agents.trajectory import Trajectory
from training.checkpoints import Checkpoints
from training.config import TrainingConfig
from training.launch import start
from training.reports import StepReport, TrainingReport
from training.rl import train_rl
from training.sft import train_sft

pytestmark = [pytest.mark.slow, pytest.mark.faults]

LONG = SFT.model_copy(update={"num_epochs": 1000})
"""More steps than any of these trainings makes."""
END_S = 60.0
"""Longest time from a fault to the end of all processes."""
TESTS = Path(__file__).parent


def processes_of(parent: int) -> dict[str, list[int]]:
    """The launcher and the ranks that a process has started, by what they run."""
    found: dict[str, list[int]] = {"launcher": [], "rank": []}
    children = {parent}
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            command = (folder / "cmdline").read_bytes().decode().split("\0")
            status = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(status[1]) in children and status[0] not in "ZX":
            if "training.launch.launcher" in command:
                found["launcher"].append(int(folder.name))
                children.add(int(folder.name))
            elif any("rank" in word for word in command[:4]):
                found["rank"].append(int(folder.name))
    return found


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_all_end(processes: list[int], within_s: float = END_S) -> None:
    until = time.monotonic() + within_s
    while left := [process for process in processes if lives(process)]:
        assert time.monotonic() < until, f"these live on: {left}"
        time.sleep(0.05)


class Strike:
    """Does something to the processes of a training once it has made two steps."""

    def __init__(self, act: Callable[[dict[str, list[int]]], None]) -> None:
        self.struck_at = 0.0
        self.processes: list[int] = []
        self._act = act

    def __call__(self, step: StepReport) -> None:
        if step.step == 2:
            found = processes_of(os.getpid())
            assert [len(found["launcher"]), len(found["rank"])] == [1, 2], found
            self.processes = found["launcher"] + found["rank"]
            self.struck_at = time.monotonic()
            self._act(found)


def train(
    policy: Path,
    output: Path,
    on_step: Callable[[StepReport], None],
    training: TrainingConfig | None = None,
) -> None:
    train_sft(policy, examples(10), LONG, training or settings(2), output, 7, on_step)


@pytest.mark.parametrize(
    ("victim", "words"),
    [
        (("rank", 0), r"rank \d \(process \d+\) died without a word"),
        (("rank", 1), r"rank \d \(process \d+\) died without a word"),
        (("launcher", 0), "the launcher of the ranks was killed by SIGKILL"),
    ],
)
def test_a_killed_process_ends_the_deepspeed_ranks_with_one_typed_error(
    tiny_policy: Path, tmp_path: Path, victim: tuple[str, int], words: str
) -> None:
    name, index = victim
    strike = Strike(lambda found: os.kill(found[name][index], signal.SIGKILL))
    with pytest.raises(RankDiedError, match=words):
        train(tiny_policy, tmp_path / "policy", strike, settings(2, "zero2"))
    assert time.monotonic() - strike.struck_at < END_S
    assert_all_end(strike.processes, within_s=0.0)
    assert list(tmp_path.iterdir()) == [], "nothing half-written is left"


@pytest.mark.parametrize("victim", [("rank", 0), ("rank", 1), ("launcher", 0)])
def test_a_process_that_dies_while_rollouts_are_sampled_ends_them(
    tiny_policy: Path, tmp_path: Path, victim: tuple[str, int]
) -> None:
    name, index = victim
    struck: list[float] = []

    def kill_and_sample(*_: object) -> list[Trajectory]:
        os.kill(processes_of(os.getpid())[name][index], signal.SIGKILL)
        struck.append(time.monotonic())
        run_interruptibly(asyncio.sleep(2 * END_S))
        raise AssertionError("the rollouts were awaited to their end")

    with pytest.raises(RankDiedError, match=r"died without a word|killed by SIGKILL"):
        train_rl(
            tiny_policy, QUESTIONS, kill_and_sample, parity, lambda _: [1, 2], RL, settings(2),
            tmp_path / "policy", 5, lambda _: None, lambda *_: None,
        )  # fmt: skip
    assert time.monotonic() - struck[0] < END_S / 4
    assert processes_of(os.getpid()) == {"launcher": [], "rank": []}
    assert list(tmp_path.iterdir()) == [], "nothing half-written is left"


def test_a_rank_that_stops_while_rollouts_are_sampled_ends_them(
    tiny_policy: Path, tmp_path: Path
) -> None:
    training = settings(2)
    bounded = training.launch.model_copy(update={"heartbeat_s": 4.0})

    def stop_and_sample(*_: object) -> list[Trajectory]:
        os.kill(processes_of(os.getpid())["rank"][1], signal.SIGSTOP)
        run_interruptibly(asyncio.sleep(2 * END_S))
        raise AssertionError("the rollouts were awaited to their end")

    with pytest.raises(RankHungError, match="gave no sign of life for 4 s"):
        train_rl(
            tiny_policy, QUESTIONS, stop_and_sample, parity, lambda _: [1, 2], RL,
            training.model_copy(update={"launch": bounded}),
            tmp_path / "policy", 5, lambda _: None, lambda *_: None,
        )  # fmt: skip
    assert processes_of(os.getpid()) == {"launcher": [], "rank": []}


def test_a_stopped_rank_is_found_by_its_silence(tiny_policy: Path, tmp_path: Path) -> None:
    training = settings(2)
    bounded = training.launch.model_copy(update={"heartbeat_s": 4.0})
    strike = Strike(lambda found: os.kill(found["rank"][1], signal.SIGSTOP))
    with pytest.raises(RankHungError, match=r"rank \d gave no sign of life for 4 s"):
        train(tiny_policy, tmp_path, strike, training.model_copy(update={"launch": bounded}))
    assert 3.0 < time.monotonic() - strike.struck_at < 4.0 + END_S / 2
    assert_all_end(strike.processes, within_s=0.0)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("nan", DivergedError, "the SFT loss became nan at step 2: lower sft.learning_rate"),
        ("memory", RankMemoryError, r"rank 1 ran out of memory \(CUDA out of memory"),
        ("raise", StageError, "rank 1: ValueError: a fault of the test"),
    ],
)
def test_what_a_rank_raises_is_the_error_of_the_training(
    tiny_policy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    error: type[EvolveSearchError],
    words: str,
) -> None:
    in_faulty_ranks(monkeypatch, fault)
    with pytest.raises(error, match=words):
        train(tiny_policy, tmp_path / "policy", lambda _: None)
    assert processes_of(os.getpid()) == {"launcher": [], "rank": []}
    assert list(tmp_path.iterdir()) == []


def in_faulty_ranks(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setattr(start, "RANK_MODULE", faulty_rank.__name__)
    monkeypatch.setenv(faulty_rank.FAULT, fault)
    monkeypatch.syspath_prepend(str(TESTS))


def test_a_step_that_never_ends_is_bounded(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_faulty_ranks(monkeypatch, "stuck")
    training = settings(2)
    bounded = training.launch.model_copy(update={"timeout_s": 8.0})
    at: list[float] = []
    with pytest.raises(RankHungError, match=r"nothing came of them for 8 s .*timeout_s"):
        train(
            tiny_policy,
            tmp_path,
            lambda _: at.append(time.monotonic()),
            training.model_copy(update={"launch": bounded}),
        )
    assert len(at) == 1
    assert 7.0 < time.monotonic() - at[0] < 8.0 + END_S / 2


def test_weights_that_never_come_are_bounded(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_faulty_ranks(monkeypatch, "sync")
    training = settings(2)
    bounded = training.launch.model_copy(update={"timeout_s": 8.0})
    with pytest.raises(RankHungError, match="nothing came of them for 8 s"):
        rl(tiny_policy, tmp_path, training.model_copy(update={"launch": bounded}))
    assert processes_of(os.getpid()) == {"launcher": [], "rank": []}


def test_an_error_of_the_driver_ends_the_ranks(tiny_policy: Path, tmp_path: Path) -> None:
    def refuse(_: dict[str, list[int]]) -> None:
        raise StageError("a sentinel of the test tripped")

    strike = Strike(refuse)
    with pytest.raises(StageError, match="a sentinel of the test tripped"):
        train(tiny_policy, tmp_path, strike)
    assert_all_end(strike.processes, within_s=0.0)


_DRIVER = """
import sys
from pathlib import Path
from test_rank_faults import LONG, settings
from test_sft import examples
from training.sft import train_sft
train_sft(Path(sys.argv[1]), examples(10), LONG, settings(2), Path(sys.argv[2]), 7,
          lambda step: print(step.step, flush=True))
"""


def test_ranks_end_with_a_driver_that_is_killed(tiny_policy: Path, tmp_path: Path) -> None:
    root = TESTS.parents[2]
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(tiny_policy), str(tmp_path / "policy")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{TESTS}"},
    )
    assert driver.stdout is not None
    watchdog = threading.Timer(180.0, driver.kill)
    watchdog.start()
    assert driver.stdout.readline() == b"1\n"
    found = processes_of(driver.pid)
    assert [len(found["launcher"]), len(found["rank"])] == [1, 2], found
    driver.kill()
    driver.wait()
    watchdog.cancel()
    assert_all_end(found["launcher"] + found["rank"], within_s=10.0)


@pytest.mark.parametrize("deepspeed", ["off", "zero2"])
def test_killed_deepspeed_ranks_go_on_from_their_checkpoint(
    tiny_policy: Path, tmp_path: Path, deepspeed: str
) -> None:
    training = settings(2, deepspeed, checkpoint_s=None, checkpoint_steps=2)

    def run(name: str, on_step: Callable[[StepReport], None], kept: Checkpoints) -> TrainingReport:
        output = tmp_path / name
        return train_sft(tiny_policy, examples(10), SFT, training, output, 7, on_step, kept)

    whole = run("whole", lambda _: None, Checkpoints(Kept(tmp_path / "all").save))
    kept = Kept(tmp_path / "kept")

    def kill(step: StepReport) -> None:
        if step.step == 5:
            os.kill(processes_of(os.getpid())["rank"][1], signal.SIGKILL)

    with pytest.raises(RankDiedError):
        run("killed", kill, Checkpoints(kept.save))
    assert sorted(kept.by_step) == [2, 4]
    again = run("again", lambda _: None, Checkpoints(kept.save, kept.by_step[4]))
    assert [step.step for step in again.steps] == [1, 2, 3, 4, 5, 6]
    assert [step.loss for step in again.steps] == [step.loss for step in whole.steps]
    assert same_weights(whole, again)


def test_killed_rl_ranks_go_on_from_their_checkpoint_with_the_rollouts_recorded(
    tiny_policy: Path, tmp_path: Path
) -> None:
    training = settings(2, "zero2", checkpoint_s=None, checkpoint_steps=1)
    whole, sampled = rl(tiny_policy, tmp_path / "whole", training)
    kept, rollouts = Kept(tmp_path / "kept"), Rollouts(tiny_policy)

    def run(name: str, kept: Checkpoints, fatal: int | None) -> TrainingReport:
        def on_step(step: StepReport) -> None:
            if step.step == fatal:
                os.kill(processes_of(os.getpid())["rank"][0], signal.SIGKILL)

        return train_rl(
            tiny_policy, QUESTIONS, rollouts, parity, lambda _: [1, 2], RL, training,
            tmp_path / name, 5, on_step, lambda *_: None, kept,
        )  # fmt: skip

    with pytest.raises(RankDiedError):
        run("killed", Checkpoints(kept.save), fatal=2)
    # That of step 2 may have been handed over before the kill.
    assert sorted(kept.by_step) in ([1], [1, 2])
    rollouts.made.clear()
    again = run("again", Checkpoints(kept.save, kept.by_step[1]), fatal=None)
    assert [step.step for step in again.steps] == [1, 2, 3]
    assert [step.loss for step in again.steps] == [step.loss for step in whole.steps]
    assert same_weights(whole, again)
    later = [t.token_ids for t in rollouts.made]
    assert later == [t.token_ids for t in sampled.made][-len(later) :], "none is made anew"


def test_two_machines_train_together(tiny_policy: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = tmp_path / "shared"
    launch = {
        "num_processes": 2,
        "num_machines": 2,
        "address": "127.0.0.1",
        "port": port,
        "folder": str(shared),
        "start_s": 200.0,
    }
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
    root = TESTS.parents[2]
    joining = [sys.executable, "-m", "training.launch.join", str(shared), "1", "--once"]
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(joining, env=environment, cwd=root) as machine,
    ):
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        alone = train_sft(
            tiny_policy, examples(10), SFT, settings(1), tmp_path / "alone", 7, lambda _: None
        )
        both = train_sft(
            tiny_policy, examples(10), SFT, settings(2, "zero2", launch=launch),
            tmp_path / "both", 7, lambda _: None,
        )  # fmt: skip
        assert machine.wait(END_S) == 0
    assert_same_steps(both, alone)
    assert list(shared.iterdir()) == []
