"""The store: content-addressed, immutable artifacts, each known by a manifest written last.

Layout under the store's URI:

- `artifacts/<kind>/<digest>/…`: immutable objects (Parquet for tables, a model's files);
- `manifests/<stage key>/<name>.json`: written last and only if absent, so that an artifact
  appears whole or not at all, and two writers of the same one end with one;
- `partial/<stage key>/…`: finished rows of a stage that still runs (`tasks.shards`);
- `runs/<run>/…`: records of runs and stages (`tasks.runs`);
- `verdicts/<ab>/<hash>.json`: what judging models said (`tasks.judge_cache`).

The other modules: `storage` (named objects, local or remote, and the same as files of this
machine), `schemas` (declared columns), `tables` (rows and Parquet), `rows` (questions and
trajectories as rows), `digests`, `manifest`, `policies` (model folders), `stage_cache` (keys),
`catalog` (SQL over all of it), `lineage`, `care`. docs/storage.md says what is promised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from agents.errors import StoreError
from agents.trajectory import PolicyRef, Question, Trajectory
from tasks.digests import file_digest, files_digest, table_digest
from tasks.manifest import ArtifactRef, Manifest, StoredFile
from tasks.policies import policy_files, policy_path, resolve_policy
from tasks.rows import question_of, trajectory_of
from tasks.runs import RunLog, utc_now
from tasks.schemas import POLICIES
from tasks.stage_cache import code_version
from tasks.storage.config import StoreConfig
from tasks.storage.local_files import LocalFiles
from tasks.storage.objects import ObjectStore
from tasks.tables import conform, from_parquet, kind_of, to_parquet

_ROWS = "rows.parquet"


class ArtifactStore:
    """Artifacts of one store.

    Attributes:
        objects: The objects beneath.
        local: Their content as files of this machine.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects
        self.local = LocalFiles(objects)
        self._manifests: dict[str, Manifest] = {}

    @classmethod
    def open(cls, where: StoreConfig | str | Path) -> ArtifactStore:
        """Opens a store; a local folder is made where it does not exist.

        Args:
            where: The configuration, or a plain folder or URI.

        Raises:
            UsageError: It names no store.
            StoreError: It cannot be made or reached.
        """
        return cls(ObjectStore.open(where))

    @property
    def uri(self) -> str:
        """Where the store lies."""
        return self.objects.uri

    def write_table(
        self,
        kind: str,
        rows: pa.Table | Sequence[Mapping[str, Any]],
        *,
        stage_key: str,
        name: str,
        parents: Sequence[ArtifactRef] = (),
        run: str = "",
        iteration: int = 0,
        metadata: Mapping[str, Any] | None = None,
    ) -> ArtifactRef:
        """Writes a table as an artifact.

        Args:
            kind: A kind declared in `tasks.schemas`.
            rows: Its rows; they may be in any order.
            stage_key: Key of the stage that made them.
            name: Name among that stage's artifacts.
            parents: Artifacts they were made from.
            run: Name of the run.
            iteration: Iteration of the run.
            metadata: What to say about it, JSON values.

        Returns:
            The artifact; where one of this key and name stands already, that one.

        Raises:
            StoreError: The rows do not fit the kind, or cannot be written.
        """
        declared = kind_of(kind)
        table = conform(declared, rows)
        digest = table_digest(declared, table)
        path = f"artifacts/{kind}/{digest}/{_ROWS}"
        data = to_parquet(table)
        if not self.objects.put_new(path, data):
            # Equal content was stored before, with timings of its own: those bytes stay.
            data = self._bytes(path)
            if table_digest(declared, from_parquet(declared, data, path)) != digest:
                raise StoreError(f"{path} is damaged: remove it and run the same command again")
        file = StoredFile(path, len(data), hashlib.sha256(data).hexdigest())
        ref = ArtifactRef(kind, digest, stage_key, name)
        return self._publish(ref, (file,), table.num_rows, parents, run, iteration, metadata)

    def write_policy(
        self,
        folder: Path,
        *,
        stage_key: str,
        name: str = "policy",
        parents: Sequence[ArtifactRef] = (),
        run: str = "",
        iteration: int = 0,
        metadata: Mapping[str, Any] | None = None,
    ) -> ArtifactRef:
        """Copies a Hugging Face model folder into the store as a policy.

        Only weights in safetensors form, tokenizer, configs and chat template are taken; the
        digest covers them all. Arguments and errors are those of `write_table`.

        Raises:
            UsageError: The folder holds no model in safetensors form.
            StoreError: The policy cannot be written.
        """
        digests = {path: file_digest(path) for path in policy_files(folder)}
        digest = files_digest((path.name, each) for path, each in digests.items())
        files = []
        for path, each in digests.items():
            stored = StoredFile(f"{policy_path(digest)}/{path.name}", path.stat().st_size, each)
            # What was stored before under its content's digest need not travel again.
            if self.objects.size(stored.path) != stored.num_bytes:
                self.objects.put_file(stored.path, path)
            files.append(stored)
        ref = ArtifactRef(POLICIES, digest, stage_key, name)
        return self._publish(ref, tuple(files), None, parents, run, iteration, metadata)

    def adopt(
        self,
        ref: ArtifactRef,
        *,
        stage_key: str,
        run: str = "",
        iteration: int = 0,
        metadata: Mapping[str, Any] | None = None,
    ) -> ArtifactRef:
        """Makes an artifact one of another stage's, too: same content, name and parents.

        Args:
            ref: The artifact.
            stage_key: Key of the other stage.
            run: Name of its run.
            iteration: Its iteration.
            metadata: What to say about it; None: the same.

        Raises:
            StoreError: It is not in this store, or cannot be written.
        """
        known = self.manifest(ref)
        return self._publish(
            ArtifactRef(ref.kind, ref.digest, stage_key, ref.name),
            known.files,
            known.num_rows,
            known.parents,
            run,
            iteration,
            known.metadata if metadata is None else metadata,
        )

    def find(self, stage_key: str, name: str) -> Manifest | None:
        """The manifest of a stage's artifact, None where it is not complete.

        Raises:
            StoreError: It cannot be read.
        """
        return self._load(_manifest_path(stage_key, name))

    def manifest(self, ref: ArtifactRef) -> Manifest:
        """The manifest of an artifact.

        Raises:
            StoreError: It is not in this store.
        """
        found = self.find(ref.key, ref.name)
        if found is None or found.ref.digest != ref.digest:
            raise StoreError(
                f"artifact {ref.kind} {ref.digest[:12]} ({ref.key}/{ref.name}) "
                f"is not in the store {self.uri}"
            )
        return found

    def manifests(self) -> list[Manifest]:
        """All manifests, the oldest first."""
        paths = self.objects.paths("manifests")
        unknown = [path for path in paths if path not in self._manifests]
        for path, data in zip(unknown, self.objects.get_many(unknown), strict=True):
            self._keep(path, data)
        present = [self._manifests[path] for path in paths if path in self._manifests]
        return sorted(present, key=lambda m: (m.created_at, m.ref.key, m.ref.name))

    def read_table(self, ref: ArtifactRef) -> pa.Table:
        """The rows of a table, sorted by key.

        Raises:
            StoreError: It is not in this store, or damaged.
        """
        (file,) = self.manifest(ref).files
        if self.objects.is_remote:
            data = self.local.table(file).read_bytes()
        else:
            data = self._bytes(file.path)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise StoreError(f"{file.path} is damaged: its digest is not the manifest's")
        return from_parquet(kind_of(ref.kind), data, file.path)

    def read_questions(self, ref: ArtifactRef) -> list[Question]:
        """The questions of a `questions` artifact, by id."""
        return [question_of(row) for row in self.read_table(ref).to_pylist()]

    def read_trajectories(self, ref: ArtifactRef) -> list[Trajectory]:
        """The trajectories of a `trajectories` artifact, by id."""
        return [trajectory_of(row) for row in self.read_table(ref).to_pylist()]

    def policy_folder(self, policy: ArtifactRef | str) -> Path:
        """The folder of a policy's files on this machine, given its reference or digest.

        Raises:
            StoreError: It is not in this store, or damaged.
        """
        if isinstance(policy, ArtifactRef):
            return self.local.policy(self.manifest(policy))
        for manifest in self.manifests():
            if manifest.ref.kind == POLICIES and manifest.ref.digest == policy:
                return self.local.policy(manifest)
        raise StoreError(f"policy {policy[:12]} is not in the store {self.uri}")

    def resolve_policy(self, text: str) -> PolicyRef:
        """Finds the policy that a person means: digest, `RUN`, `RUN/ITERATION` or a folder.

        Raises:
            UsageError: Nothing or more than one thing is meant.
        """
        manifests = self.manifests()
        return resolve_policy(RunLog(self.objects), manifests, self.local.policy, text)

    def _publish(
        self,
        ref: ArtifactRef,
        files: tuple[StoredFile, ...],
        num_rows: int | None,
        parents: Sequence[ArtifactRef],
        run: str,
        iteration: int,
        metadata: Mapping[str, Any] | None,
    ) -> ArtifactRef:
        manifest = Manifest(
            ref=ref,
            files=files,
            num_rows=num_rows,
            parents=tuple(parents),
            code_version=code_version(),
            run=run,
            iteration=iteration,
            created_at=utc_now(),
            metadata=dict(metadata or {}),
        )
        path = _manifest_path(ref.key, ref.name)
        if self.objects.put_new(path, manifest.to_bytes()):
            return ref
        # Another writer was first; where kernels differ in bits its content may differ too.
        winner = self._load(path)
        if winner is None:
            raise StoreError(f"manifest {path} was removed while it was being written")
        return winner.ref

    def _load(self, path: str) -> Manifest | None:
        if path not in self._manifests:
            self._keep(path, self.objects.get(path))
        return self._manifests.get(path)

    def _keep(self, path: str, data: bytes | None) -> None:
        """Remembers a manifest that was read: none is ever changed."""
        if data is None:
            return
        manifest = Manifest.from_bytes(data, path)
        if _manifest_path(manifest.ref.key, manifest.ref.name) != path:
            raise StoreError(f"manifest {path} is damaged: it is that of another artifact")
        self._manifests[path] = manifest

    def _bytes(self, path: str) -> bytes:
        data = self.objects.get(path)
        if data is None:
            raise StoreError(f"{path} is missing from the store {self.uri}")
        return data


def _manifest_path(stage_key: str, name: str) -> str:
    return f"manifests/{stage_key}/{name}.json"
