"""Files of this machine with an artifact's content, for what reads no object storage.

Transformers and DuckDB read local files: those of a local store where they lie, those of a
remote one as copies in a cache (`tasks.storage.cache`). A digest is checked before a file is given
out: once for a copy, and for a local store's policies once a process and version of the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agents.assets.files import cache_dir
from agents.errors import StoreError
from tasks.digests import file_digest
from tasks.manifest import Manifest, StoredFile
from tasks.policies import policy_path
from tasks.schemas import POLICIES
from tasks.storage.cache import StoreCache
from tasks.storage.errors import one_line
from tasks.storage.objects import ObjectStore

_GIB = 1 << 30
_checked: dict[Path, tuple[int, int, str]] = {}


class LocalFiles:
    """Where the content of one store's artifacts lies on this machine."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        config = objects.config
        named = Path(config.cache).expanduser().absolute() if config.cache else None
        self._cache = StoreCache(named or cache_dir() / "store", int(config.cache_gib * _GIB))

    @property
    def tables_folder(self) -> Path:
        """The folder that all files of tables lie below."""
        if (own := self._objects.path_of("artifacts")) is not None:
            return own
        return self._cache.folder / "tables"

    def table(self, file: StoredFile) -> Path:
        """The Parquet file of a table; a local store's is neither looked for nor checked here.

        Raises:
            StoreError: It is missing from a remote store, or damaged there.
        """
        if (own := self._objects.path_of(file.path)) is not None:
            return own
        # Equal rows may lie in several stores with timings of their own: the bytes name the entry.
        folder = self._cache.entry("tables", file.sha256, [file], self._fetch)
        return folder / file.path.rpartition("/")[2]

    def tables(self, files: Sequence[StoredFile]) -> list[Path]:
        """The Parquet files of many tables, in order; those of a remote store fetched at once.

        Raises:
            StoreError: One is missing from a remote store, or damaged there.
        """
        if not self._objects.is_remote:
            return [self.table(file) for file in files]
        with ThreadPoolExecutor(self._objects.config.num_transfers) as pool:
            return list(pool.map(self.table, files))

    def policy(self, manifest: Manifest) -> Path:
        """The folder of a policy's files.

        Raises:
            StoreError: A file is missing or damaged.
        """
        if (folder := self._objects.path_of(policy_path(manifest.ref.digest))) is None:
            return self._cache.entry(POLICIES, manifest.ref.digest, manifest.files, self._fetch)
        for file in manifest.files:
            self._check(manifest.ref.digest, file, folder / file.path.rpartition("/")[2])
        return folder

    def scratch(self, stage_key: str) -> Path:
        """Where a stage may keep large files while it runs, on the store's disk where it has one.

        It has the stage's key in its path, so that what a killed stage left is found again.
        """
        if (own := self._objects.path_of(f"partial/{stage_key}/scratch")) is not None:
            return own
        store = hashlib.sha256(self._objects.uri.encode()).hexdigest()[:16]
        return self._cache.scratch(f"{store}-{stage_key}")

    def _fetch(self, file: StoredFile, target: Path) -> None:
        if not self._objects.get_file(file.path, target, file.sha256):
            raise StoreError(f"{file.path} is missing from the store {self._objects.uri}")

    def _check(self, digest: str, file: StoredFile, path: Path) -> None:
        with one_line("read", str(path)):
            found = path.stat() if path.exists() else None
        if found is None or found.st_size != file.num_bytes:
            raise StoreError(
                f"policy {digest[:12]} is damaged: {file.path} has "
                f"{'no' if found is None else found.st_size} bytes, expected {file.num_bytes}; "
                "remove it and make the policy again"
            )
        seen = (found.st_size, found.st_mtime_ns, file.sha256)
        if _checked.get(path) == seen:
            return
        with one_line("read", str(path)):
            actual = file_digest(path)
        if actual != file.sha256:
            raise StoreError(
                f"policy {digest[:12]} is damaged: the digest of {file.path} is not the "
                "manifest's; remove it and make the policy again"
            )
        _checked[path] = seen
