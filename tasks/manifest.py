"""What the store says about an artifact: its manifest, and the small reference to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.errors import StoreError

FORMAT = 2
"""Version of the manifest's own layout."""

ROWS_ITERATION = "rows_iteration"
"""Key of the metadata of `trajectories` that says that all rows are of this iteration, so that a
query for another one need not open them."""


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """A reference to an artifact, small enough to pass between stages.

    Attributes:
        kind: `questions`, `trajectories`, …, `policies`.
        digest: Digest of the content.
        key: Key of the stage that produced it.
        name: Its name among that stage's artifacts.
    """

    kind: str
    digest: str
    key: str
    name: str

    def to_json(self) -> dict[str, str]:
        """The reference as a JSON object."""
        return {"kind": self.kind, "digest": self.digest, "key": self.key, "name": self.name}

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> ArtifactRef:
        """Reads what `to_json` wrote."""
        return cls(value["kind"], value["digest"], value["key"], value["name"])


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One immutable object of an artifact.

    Attributes:
        path: Its path in the store.
        num_bytes: Its size.
        sha256: Digest of its bytes.
    """

    path: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that is known of an artifact; written last, so what has none does not exist.

    Attributes:
        ref: The artifact.
        files: Its objects.
        num_rows: Rows of a table; None for a policy.
        parents: Artifacts it was made from.
        code_version: Digest of the code that made it.
        run: The run that made it first.
        iteration: The iteration that made it first.
        created_at: When, as ISO 8601 in UTC.
        metadata: What its stage says about it, JSON values.
    """

    ref: ArtifactRef
    files: tuple[StoredFile, ...]
    num_rows: int | None
    parents: tuple[ArtifactRef, ...]
    code_version: str
    run: str
    iteration: int
    created_at: str
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """Bytes of all its objects."""
        return sum(file.num_bytes for file in self.files)

    def to_bytes(self) -> bytes:
        """The manifest as a JSON document, with a checksum over all the rest of it."""
        document = {
            "format": FORMAT,
            **self.ref.to_json(),
            "num_rows": self.num_rows,
            "files": [
                {"path": f.path, "num_bytes": f.num_bytes, "sha256": f.sha256} for f in self.files
            ],
            "parents": [parent.to_json() for parent in self.parents],
            "code_version": self.code_version,
            "run": self.run,
            "iteration": self.iteration,
            "created_at": self.created_at,
            "metadata": dict(self.metadata),
        }
        # As it will be read back, where a number as a key has become text.
        document = json.loads(_dump(document))
        return _dump({**document, "checksum": _checksum(document)})

    @classmethod
    def from_bytes(cls, data: bytes, path: str) -> Manifest:
        """Reads what `to_bytes` wrote.

        Args:
            data: The JSON document.
            path: Where it lies, for the error.

        Raises:
            StoreError: It is damaged, or of another format.
        """
        try:
            value = json.loads(data)
            if value["format"] != FORMAT:
                raise StoreError(
                    f"manifest {path}: expected format {FORMAT}, got {value['format']}; "
                    "it was written by another version of evolvesearch"
                )
            if not _is_unchanged(data, value.pop("checksum"), value):
                raise StoreError(
                    f"manifest {path} is damaged: it was changed after it was written; "
                    "remove it, and its stage is computed again"
                )
            return cls(
                ref=ArtifactRef.from_json(value),
                files=tuple(StoredFile(**file) for file in value["files"]),
                num_rows=value["num_rows"],
                parents=tuple(ArtifactRef.from_json(parent) for parent in value["parents"]),
                code_version=value["code_version"],
                run=value["run"],
                iteration=value["iteration"],
                created_at=value["created_at"],
                metadata=value["metadata"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"manifest {path} is damaged: {type(error).__name__}") from error


def _is_unchanged(data: bytes, checksum: str, rest: Mapping[str, Any]) -> bool:
    """Whether a checksum is that of the rest of a document."""
    # It is the first of the sorted keys: without its line, the bytes are those it was made from.
    head = f'{{\n "checksum": "{checksum}",'.encode()
    if data.startswith(head) and hashlib.sha256(b"{" + data[len(head) :]).hexdigest() == checksum:
        return True
    return checksum == _checksum(rest)


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode()


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dump(document)).hexdigest()
