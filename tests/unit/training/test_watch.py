"""What the watch makes of ranks that speak, fall silent or die; their connections are real ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from agents.errors import DivergedError, EvolveSearchError, RankDiedError, RankHungError
from agents.lifeline import describe_error
from training.launch import watch as watch_module
from training.launch.config import LaunchConfig
from training.launch.member import Member
from training.launch.watch import Watch
from training.launch.wire import Wire

LAUNCH = LaunchConfig(num_processes=2, heartbeat_s=30.0, start_s=600.0, timeout_s=300.0)


class Clock:
    """The monotonic clock of the watch, set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch_module, "time", clock)
    return clock


class Ranks:
    """Two ranks of this very process, as far as the watch can tell."""

    def __init__(self, clock: Clock) -> None:
        self.watch = Watch(LAUNCH)
        self._clock = clock
        self._pairs: list[tuple[Wire, Wire]] = []
        for rank in range(2):
            here, there = map(Wire, socket.socketpair())
            self._pairs.append((here, there))
            self.watch.greet(here)
            self.say(rank, event="hello", rank=rank, process=os.getpid())

    def say(self, number: int, /, **message: object) -> list[str]:
        here, there = self._pairs[number]
        there.send(message)
        return [each["event"] for each in self.watch.hear(here) or ()]

    def die(self, rank: int) -> None:
        here, there = self._pairs[rank]
        there.close()
        assert self.watch.hear(here) is None

    def begin(self) -> None:
        for rank in range(2):
            self.say(rank, event="begin")

    def pass_time(self, seconds: float, *beating: int) -> None:
        self._clock.now += seconds
        for rank in beating:
            self.say(rank, event="beat")

    def look(self, launcher: int | None = None) -> EvolveSearchError | None:
        self.watch.look(launcher, None)
        return self.watch.failures[0].error if self.watch.failures else None

    def close(self) -> None:
        for _, there in self._pairs:
            there.close()
        self.watch.close()


@pytest.fixture
def ranks(clock: Clock) -> Iterator[Ranks]:
    with closing(Ranks(clock)) as ranks:
        yield ranks


def test_only_the_trainings_own_messages_are_passed_on(ranks: Ranks) -> None:
    assert ranks.say(0, event="step", report={}) == ["step"]
    assert ranks.say(0, event="beat") == []
    assert ranks.say(1, event="begin") == []
    assert [str(member) for member in ranks.watch.members] == [
        f"rank {number} (process {os.getpid()})" for number in range(2)
    ]


def test_a_death_is_told_once_others_had_time_to_say_why(ranks: Ranks) -> None:
    ranks.begin()
    ranks.die(1)
    error = ranks.look()
    assert isinstance(error, RankDiedError)
    assert "rank 1" in str(error)
    assert not ranks.watch.is_time_to_tell()
    ranks.pass_time(2.5, 0)
    assert ranks.watch.is_time_to_tell()


def test_a_rank_that_said_why_or_bye_did_not_die(ranks: Ranks) -> None:
    ranks.begin()
    ranks.say(0, event="error", **describe_error(DivergedError("the loss became nan")))
    ranks.say(1, event="bye")
    for rank in range(2):
        ranks.die(rank)
    assert [type(failure.error) for failure in ranks.watch.failures] == [DivergedError]


def test_silence_counts_whatever_the_driver_does(ranks: Ranks) -> None:
    ranks.begin()
    ranks.watch.end_waiting()  # the driver samples
    ranks.pass_time(29.0, 0)
    assert ranks.look() is None
    ranks.pass_time(2.0, 0)
    error = ranks.look()
    assert isinstance(error, RankHungError)
    assert str(error) == "rank 1 gave no sign of life for 30 s"
    assert ranks.watch.is_time_to_tell(), "nobody will say more"


def test_a_training_has_to_begin(ranks: Ranks) -> None:
    ranks.say(0, event="begin")
    for _ in range(30):
        ranks.pass_time(20.0, 0, 1)
        assert ranks.look() is None
    ranks.pass_time(1.0, 0, 1)
    error = ranks.look()
    assert isinstance(error, RankHungError)
    assert "2 of 2 ranks were there, and training had not begun after 600 s" in str(error)


def test_something_has_to_come_of_ranks_that_are_waited_for(ranks: Ranks) -> None:
    ranks.begin()
    ranks.watch.begin_waiting()
    ranks.watch.end_waiting()
    for _ in range(30):  # rollouts may take longer than a step
        ranks.pass_time(20.0, 0, 1)
        assert ranks.look() is None
    ranks.watch.begin_waiting()
    for _ in range(15):
        ranks.pass_time(20.0, 0, 1)
        assert ranks.look() is None
    ranks.say(0, event="step", report={})
    ranks.pass_time(20.0, 0, 1)
    assert ranks.look() is None, "a step sets the clock back"
    for _ in range(15):
        ranks.pass_time(20.0, 0, 1)
    error = ranks.look()
    assert isinstance(error, RankHungError)
    assert "nothing came of them for 300 s" in str(error)


def test_a_launcher_may_end_after_its_ranks_only(ranks: Ranks) -> None:
    ranks.begin()
    ranks.say(0, event="bye")
    error = ranks.look(launcher=1)
    assert isinstance(error, RankDiedError)
    assert "the launcher of the ranks ended with exit code 1" in str(error)


def test_a_launcher_that_ends_after_its_ranks_is_no_trouble(ranks: Ranks) -> None:
    ranks.begin()
    for rank in range(2):
        ranks.say(rank, event="bye")
    assert ranks.look(launcher=0) is None


def test_a_member_is_one_very_process() -> None:
    here, there = map(Wire, socket.socketpair())
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        member = Member(here, 1, process.pid, 0.0)
        assert member.runs()
        member.kill()
        process.wait(10.0)
        assert not member.runs()
        member.kill()  # there is nothing left to kill
    member.close()
    there.close()
