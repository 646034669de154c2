"""Training checkpoints in the store, from which a killed SFT or RL stage goes on.

They lie under `partial/<stage key>/checkpoints/`: the files of one as
`<step>-<random>/<file>`, and last of all `<step>-<random>.json`, which names every file with its
size and digest. What has no such record does not exist. Optimizer and random states are pickles,
the only ones that are ever read; a file is given to the trainer after its digest was found to be
the recorded one. A damaged checkpoint is named in the log, and the one before it is used.
"""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.errors import StoreError
from tasks.digests import file_digest
from tasks.storage.objects import ObjectStore
from training.checkpoints import Checkpoint

_FORMAT = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint as it lies in the store.

    Attributes:
        name: Its name among those of its stage.
        checkpoint: The checkpoint, its files copied out of the store.
    """

    name: str
    checkpoint: Checkpoint


class CheckpointLog:
    """The checkpoints of one stage's training.

    Args:
        objects: The store's objects.
        stage_key: Key of the stage.
        keep: How many of the newest stay.
        behind: A sentinel that trips right after a checkpoint goes back to one that is at least
            so many steps older: up to two more stay, so that there is one.
    """

    def __init__(self, objects: ObjectStore, stage_key: str, keep: int, behind: int = 0) -> None:
        self._objects = objects
        self._prefix = f"partial/{stage_key}/checkpoints"
        self._keep = keep
        self._behind = behind

    def save(self, checkpoint: Checkpoint) -> str:
        """Writes a checkpoint, then removes those that are too many; returns its name.

        Raises:
            StoreError: It could not be written; those before it are still there.
        """
        # The random part keeps two writers of one key from mixing their files.
        name = f"{checkpoint.step:08d}-{uuid.uuid4().hex[:8]}"
        files = []
        for path in sorted(checkpoint.folder.rglob("*")):
            if path.is_file():
                inner = path.relative_to(checkpoint.folder).as_posix()
                self._objects.put_file(f"{self._prefix}/{name}/{inner}", path)
                size = path.stat().st_size
                files.append({"path": inner, "num_bytes": size, "sha256": file_digest(path)})
        record = {
            "format": _FORMAT,
            "step": checkpoint.step,
            "files": files,
            "progress": dict(checkpoint.progress),
        }
        data = json.dumps(record, indent=1, sort_keys=True).encode()
        self._objects.put_new(f"{self._prefix}/{name}.json", data)
        names = self._names()
        for old in sorted(set(names) - self._kept(names, checkpoint.step)):
            self._remove(old)
        return name

    def roll_back(self, step: int) -> int:
        """Removes the checkpoints after a step; returns the step of the newest left, else 0.

        Raises:
            StoreError: The store could not be changed.
        """
        names = self._names()
        left = [name for name in names if _step_of(name) <= step]
        # The newest first: whenever this is killed, what is left ends with an earlier step.
        for name in reversed(names[len(left) :]):
            self._remove(name)
        return _step_of(left[-1]) if left else 0

    def latest(self, folder: Path) -> StoredCheckpoint | None:
        """Copies the newest checkpoint that is whole into a folder; None where there is none.

        Args:
            folder: Where its files go; made anew.

        Raises:
            StoreError: The store could not be read.
        """
        for name in reversed(self._names()):
            try:
                checkpoint = self._read(name, folder)
            except _DamagedError as error:
                logger.warning("checkpoint %s/%s is not used: %s", self._prefix, name, error)
                continue
            return StoredCheckpoint(name, checkpoint)
        return None

    def _read(self, name: str, folder: Path) -> Checkpoint:
        record = self._record(name)
        shutil.rmtree(folder, ignore_errors=True)
        for file in record["files"]:
            local = folder / file["path"]
            local.parent.mkdir(parents=True, exist_ok=True)
            path = f"{self._prefix}/{name}/{file['path']}"
            if not self._objects.get_file(path, local):
                raise _DamagedError(f"{file['path']} is missing")
            if file_digest(local) != file["sha256"]:
                raise _DamagedError(f"the digest of {file['path']} is not the recorded one")
        return Checkpoint(record["step"], folder, record["progress"])

    def _record(self, name: str) -> dict[str, Any]:
        data = self._objects.get(f"{self._prefix}/{name}.json")
        if data is None:
            raise _DamagedError("it was removed while it was being read")
        try:
            record: dict[str, Any] = json.loads(data)
            format_, files = record["format"], record["files"]
            if format_ != _FORMAT:
                raise _DamagedError(f"it has format {format_}, expected {_FORMAT}")
            for file in files:
                if not set(Path(file["path"]).parts).isdisjoint({"..", "/"}) or not file["sha256"]:
                    raise _DamagedError("its record names a file outside of it")
            if not {"step", "progress"} <= set(record):
                raise _DamagedError("its record is incomplete")
        except (ValueError, KeyError, TypeError) as error:
            raise _DamagedError(f"its record cannot be read ({type(error).__name__})") from error
        return record

    def _kept(self, names: list[str], step: int) -> set[str]:
        """Names of those that stay: the newest, and what a sentinel may go back to."""
        # The one that is old enough by now, and the one that will be next.
        old_enough = [name for name in names if _step_of(name) <= step - self._behind]
        next_ = names[len(old_enough) :][:1]
        return {*names[-self._keep :], *old_enough[-1:], *next_}

    def _names(self) -> list[str]:
        """Names of all checkpoints with a record, the oldest first."""
        parts = (path.rpartition("/") for path in self._objects.paths(self._prefix))
        return sorted(
            name.removesuffix(".json")
            for folder, _, name in parts
            if folder == self._prefix and name.endswith(".json")
        )

    def _remove(self, name: str) -> None:
        # The record first: what has none does not exist.
        self._objects.delete([f"{self._prefix}/{name}.json"])
        self._objects.delete(self._objects.paths(f"{self._prefix}/{name}"))


def _step_of(name: str) -> int:
    return int(name.partition("-")[0])


class _DamagedError(StoreError):
    """A checkpoint is not what its record says."""
