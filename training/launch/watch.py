"""What is known of this machine's ranks, by what they say and by their silence.

Every rank gives a sign of life each second. One that dies closes its connection; one that hangs
falls silent, or lives on while nothing comes of the training. Each of these becomes a `Failure`.
"""

from __future__ import annotations

import time

from agents.errors import EvolveSearchError, RankDiedError, RankHungError
from training.launch.config import LaunchConfig
from training.launch.failures import Failure
from training.launch.member import Member
from training.launch.wire import Message, Wire

_GRACE_S = 2.0
"""How long after the first sign of trouble others are listened to, which may know the cause."""


class Watch:
    """The ranks of this machine and what has gone wrong with them.

    Args:
        launch: How many there are, and how long they may be silent.

    Attributes:
        failures: Signs of trouble, in the order in which they were seen.
    """

    def __init__(self, launch: LaunchConfig) -> None:
        self.failures: list[Failure] = []
        self._launch = launch
        self._members: dict[Wire, Member | None] = {}
        self._started_at = self._progress_at = time.monotonic()
        self._is_waited_for = False

    @property
    def members(self) -> list[Member]:
        """The ranks that have said hello."""
        return [member for member in list(self._members.values()) if member is not None]

    def greet(self, wire: Wire) -> None:
        """Takes a connection, whose rank has not said yet which it is."""
        self._members[wire] = None

    def begin_waiting(self) -> None:
        """From now on something has to come of the ranks within the time for a step."""
        self._progress_at = time.monotonic()
        self._is_waited_for = True

    def end_waiting(self) -> None:
        """From now on the ranks wait themselves, for as long as it takes."""
        self._is_waited_for = False

    def hear(self, wire: Wire) -> list[Message] | None:
        """Reads what a rank says.

        Returns:
            Messages that are not the watch's own business; None where the connection is closed.
        """
        messages, member, now = wire.read(), self._members[wire], time.monotonic()
        if messages is None:
            if member is not None and not member.said_bye:
                error = RankDiedError(f"{member} died without a word")
                self.failures.append(Failure(error, now, member.rank))
                member.said_bye = True
            return None
        others: list[Message] = []
        for message in messages:
            if message["event"] == "hello":
                member = Member(wire, message["rank"], message["process"], now)
                self._members[wire] = member
            assert member is not None, "a rank says hello before anything else"
            member.heard_at = now
            match message["event"]:
                case "hello" | "beat":
                    pass
                case "error":
                    member.said_bye = True
                    self.failures.append(Failure.of_message(message, now, member.rank))
                case "bye":
                    member.said_bye = True
                case "begin":
                    member.has_begun = True
                    self._progress_at = now
                case _:
                    self._progress_at = now
                    others.append(message)
        return others

    def look(self, launcher: int | None, elsewhere: EvolveSearchError | None) -> None:
        """Notes what has gone wrong without a word.

        Args:
            launcher: Exit code of what started the ranks, None while it runs.
            elsewhere: What has gone wrong on another machine, None where nothing has.
        """
        now, launch = time.monotonic(), self._launch
        if elsewhere is not None and not self.failures:
            self.failures.append(Failure(elsewhere, now, None))
        if launcher is not None:
            if not self.failures and not self._all_said_bye():
                ended = f"the launcher of the ranks ended with exit code {launcher}"
                self.failures.append(Failure(RankDiedError(ended), now, None))
            return
        for member in self.members:
            if not member.said_bye and now - member.heard_at > launch.heartbeat_s:
                hung = f"rank {member.rank} gave no sign of life for {launch.heartbeat_s:.0f} s"
                self.failures.append(Failure(RankHungError(hung), now, member.rank))
                return
        if sum(member.has_begun for member in self.members) < launch.num_local:
            if now - self._started_at > launch.start_s:
                late = (
                    f"{len(self.members)} of {launch.num_local} ranks were there, and training "
                    f"had not begun after {launch.start_s:.0f} s (training.launch.start_s)"
                )
                self.failures.append(Failure(RankHungError(late), now, None))
        elif self._is_waited_for and now - self._progress_at > launch.timeout_s:
            stuck = (
                f"the ranks live, but nothing came of them for {launch.timeout_s:.0f} s "
                "(training.launch.timeout_s)"
            )
            self.failures.append(Failure(RankHungError(stuck), now, None))

    def is_time_to_tell(self) -> bool:
        """Whether there is trouble, and nobody who may know more of it is still to be heard."""
        if not self.failures:
            return False
        hung = any(isinstance(failure.error, RankHungError) for failure in self.failures)
        return hung or time.monotonic() - self.failures[0].at > _GRACE_S

    def close(self) -> None:
        """Lets go of all ranks."""
        for wire, member in self._members.items():
            if member is None:
                wire.close()
            else:
                member.close()

    def _all_said_bye(self) -> bool:
        there = self.members
        return len(there) >= self._launch.num_local and all(each.said_bye for each in there)
