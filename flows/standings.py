"""Where a run stood after each of its iterations, so that a further one can begin there.

`evolve` without further iterations goes through the whole run again and finds its stages done.
That is right where the configuration says how long the run is. A run that is made longer night
after night must neither take longer each time nor begin anew because a setting or a library has
changed since: it goes on from the standing that is kept here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from agents.errors import StoreError
from flows.config import EvolutionConfig
from flows.promotion import Standing
from tasks.artifacts import ArtifactStore
from tasks.runs import PolicyEntry, RunLog, policy_entry_of
from tasks.storage.objects import ObjectStore


@dataclass(frozen=True)
class Reached:
    """How far a run has come.

    Attributes:
        iteration: Its last finished iteration; 0: the cold start.
        standing: Where it stands after that.
        policies: What it has measured so far.
    """

    iteration: int
    standing: Standing
    policies: tuple[PolicyEntry, ...]


@dataclass(frozen=True)
class Course:
    """What a call of `evolve` is to do.

    Attributes:
        reached: Where to go on from; None: from the base policy.
        last: The iteration to end with.
    """

    reached: Reached | None
    last: int

    @property
    def first(self) -> int:
        """The iteration to begin with."""
        return self.reached.iteration + 1 if self.reached else 1


def course_of(config: EvolutionConfig, run: str, further: int | None) -> Course:
    """Which iterations a call is to make.

    Args:
        config: The configuration.
        run: Name of the run.
        further: How many beyond those that the run has finished; None: all that the
            configuration says, from the base policy on.

    Raises:
        StoreError: A record cannot be read.
    """
    if further is None:
        return Course(None, config.iterations)
    objects = ArtifactStore.open(config.store).objects
    if (reached := StandingLog(objects, run).last()) is not None:
        return Course(reached, reached.iteration + further)
    # A run of before standings were kept is gone through once more; its stages are reused.
    record = RunLog(objects).run(run)
    done = max((entry.iteration for entry in record.policies), default=0) if record else 0
    return Course(None, done + further)


class StandingLog:
    """The standings of one run, a small document an iteration."""

    def __init__(self, objects: ObjectStore, run: str) -> None:
        self._objects = objects
        self._folder = f"runs/{run}/standings"

    def last(self) -> Reached | None:
        """The standing after the last finished iteration; None: there is none yet.

        Raises:
            StoreError: It cannot be read.
        """
        path = max(self._objects.paths(self._folder), default="")
        data = self._objects.get(path) if path else None
        if data is None:
            return None
        try:
            value = json.loads(data)
            policies = tuple(policy_entry_of(entry) for entry in value["policies"])
            standing = Standing.model_validate(value["standing"])
            return Reached(value["iteration"], standing, policies)
        except (ValueError, KeyError, TypeError) as error:
            reason = str(error).split("\n", 1)[0]
            raise StoreError(f"record {path} is damaged: {reason}") from error

    def save(self, iteration: int, standing: Standing, policies: Sequence[PolicyEntry]) -> None:
        """Notes where the run stands after an iteration.

        Where that is another place than before, the iterations after it were made from what is no
        longer so, and are forgotten.

        Raises:
            StoreError: It could not be written.
        """
        document = {
            "iteration": iteration,
            "standing": standing.model_dump(mode="json"),
            "policies": [asdict(entry) for entry in policies],
        }
        data = json.dumps(document, indent=1, sort_keys=True).encode()
        path = f"{self._folder}/{iteration:06d}.json"
        before = self._objects.get(path)
        if before == data:
            return
        if before is not None:
            later = [other for other in self._objects.paths(self._folder) if other > path]
            self._objects.delete(later)
        self._objects.put(path, data)
