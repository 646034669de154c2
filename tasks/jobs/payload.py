"""What every job is given, read back into types."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.manifest import ArtifactRef


class Job:
    """A stage's work, inside its child process.

    Attributes:
        config: The configuration.
        context: Which stage of which run it is.
        key: Key to write artifacts under.
        store: The store.
        inputs: Artifacts to read, by name.
        options: What else the stage says, by name.
    """

    def __init__(self, payload: Mapping[str, Any]) -> None:
        self.config = StageConfig.model_validate(payload["config"])
        self.context = StageContext.model_validate(payload["context"])
        self.key: str = payload["key"]
        self.store = ArtifactStore.open(self.config.store)
        self.inputs = {
            name: ArtifactRef.from_json(ref) for name, ref in payload.get("inputs", {}).items()
        }
        self.options: Mapping[str, Any] = payload.get("options", {})

    @property
    def parents(self) -> tuple[ArtifactRef, ...]:
        """The inputs, as parents of what is made from them."""
        return tuple(self.inputs.values())

    def write_table(
        self,
        kind: str,
        rows: list[dict[str, Any]],
        *,
        name: str = "",
        parents: Sequence[ArtifactRef] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> ArtifactRef:
        """Writes a table under the stage's key.

        Args:
            kind: Kind of the table.
            rows: Its rows.
            name: Its name among the stage's artifacts; its kind where none is given.
            parents: What it was made from, beside the stage's inputs.
            metadata: What to say about it.
        """
        return self.store.write_table(
            kind,
            rows,
            stage_key=self.key,
            name=name or kind,
            parents=(*self.parents, *parents),
            run=self.context.run,
            iteration=self.context.iteration,
            metadata=metadata,
        )

    def write_policy(
        self,
        folder: Path,
        metadata: Mapping[str, Any] | None = None,
        *,
        parents: Sequence[ArtifactRef] = (),
    ) -> ArtifactRef:
        """Writes a policy under the stage's key; arguments are those of `write_table`."""
        return self.store.write_policy(
            folder,
            stage_key=self.key,
            parents=(*self.parents, *parents),
            run=self.context.run,
            iteration=self.context.iteration,
            metadata=metadata,
        )

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder for large files, removed at the end; a local store has it on its disk.

        It has the stage's key in its path, so that what a killed job left there is removed by
        the next one.
        """
        folder = self.store.local.scratch(self.key)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def payload_of(
    config: StageConfig,
    context: StageContext,
    key: str,
    inputs: Mapping[str, ArtifactRef],
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The payload that `Job` reads."""
    return {
        # Fields of the loop stay out: the child validates by the stages' own class.
        "config": config.model_dump(mode="json", include=set(StageConfig.model_fields)),
        "context": context.model_dump(mode="json"),
        "key": key,
        "inputs": {name: ref.to_json() for name, ref in inputs.items()},
        "options": dict(options or {}),
    }
