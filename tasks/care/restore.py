"""Takes the archive of a run into a store; what is not exactly what its list says is refused."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from agents.errors import StoreError, UsageError
from agents.progress import Bar, progress
from tasks.artifacts import ArtifactStore
from tasks.care.archive import FORMAT, HEADER, Contents, Member
from tasks.digests import table_digest
from tasks.manifest import Manifest, StoredFile
from tasks.runs import RunLog
from tasks.schemas import POLICIES
from tasks.storage.errors import one_line
from tasks.tables import from_parquet, kind_of

_PATH = re.compile(
    r"artifacts/(?P<kind>[a-z_]+)/[0-9a-f]{64}/[A-Za-z0-9_][A-Za-z0-9_.-]*"
    r"|manifests/[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_ .-]*\.json"
    r"|runs/(?P<run>[^/]+)/(?:run|(?:stages|trips|standings)/[A-Za-z0-9_][A-Za-z0-9_.-]*)\.json"
)
"""The only places of a store that an archive may fill."""
_MOST_OF_A_HEADER = 1 << 30
_PIECE = 1 << 20


@dataclass(frozen=True)
class Restored:
    """What a restoring came to.

    Attributes:
        contents: What the archive holds.
        num_new: Objects that the store did not have yet.
    """

    contents: Contents
    num_new: int


def restore_run(store: ArtifactStore, file: Path) -> Restored:
    """Takes an archive into a store: objects first, then manifests, the run's record last.

    A store that has all of it already stays as it is. Where it has an artifact of equal content
    with other timings, its own bytes stay and the manifest is made to name them.

    Raises:
        UsageError: There is no such file, or the store has another run of that name.
        StoreError: The file is no archive, damaged or cut short; or the store made other content
            under one of its stage keys.
    """
    if not file.is_file():
        raise UsageError(f"{file}: expected an archive, found no file")
    with one_line("read", str(file)), file.open("rb") as source:
        try:
            with tarfile.open(fileobj=source, mode="r|") as tar:
                return _Restoring(store, file, tar).run()
        except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
            raise StoreError(f"{file} is no archive of a run, or damaged: {error}") from error


class _Restoring:
    def __init__(self, store: ArtifactStore, file: Path, tar: tarfile.TarFile) -> None:
        self._store = store
        self._file = file
        self._members = iter(tar)
        self._tar = tar
        self._own: dict[str, StoredFile] = {}
        self._num_new = 0

    def run(self) -> Restored:
        contents = self._header()
        self._reject_conflicts(contents)
        with (
            progress(f"Restore {contents.run}", contents.num_bytes, "bytes") as bar,
            tempfile.TemporaryDirectory(prefix="evolvesearch-restore-") as scratch,
        ):
            for member in contents.members:
                part = Path(scratch) / "member"
                self._take(member, part, bar)
                self._place(member, part)
        if next(self._members, None) is not None:
            raise StoreError(f"{self._file} is damaged: it holds more than its list says")
        return Restored(contents, self._num_new)

    def _header(self) -> Contents:
        info = next(self._members, None)
        if info is None or info.name != HEADER or not info.isreg() or info.size > _MOST_OF_A_HEADER:
            raise StoreError(
                f"{self._file} is no archive of a run: its first member is not {HEADER}"
            )
        try:
            value = json.loads(self._open(info).read())
            if value["format"] != FORMAT:
                raise StoreError(
                    f"{self._file}: expected an archive of format {FORMAT}, got "
                    f"{value['format']}; it was written by another version of evolvesearch"
                )
            members = tuple(Member(**member) for member in value["members"])
            contents = Contents(str(value["run"]), members, dict(value["digests"]))
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self._file} is damaged: its list cannot be read") from error
        if not RunLog.is_name(contents.run):
            raise StoreError(f"{self._file} is damaged: {contents.run!r} is no name of a run")
        for member in members:
            match = _PATH.fullmatch(member.path)
            if match is None or match["run"] not in (None, contents.run) or ".." in member.path:
                raise StoreError(f"{self._file}: {member.path!r} is no place in a store")
        return contents

    def _reject_conflicts(self, contents: Contents) -> None:
        """Refuses, before anything is written, what would not fit beside what is there."""
        record = f"runs/{contents.run}/run.json"
        there = self._store.objects.get(record)
        if there is not None:
            own = next((m.sha256 for m in contents.members if m.path == record), "")
            if hashlib.sha256(there).hexdigest() != own:
                raise UsageError(
                    f"the store has another run named {contents.run}; restore into another store "
                    "(--store), or give that run up first (evolvesearch gc --drop)"
                )
        for path, digest in contents.digests.items():
            key, name = path.removeprefix("manifests/").removesuffix(".json").rsplit("/", 1)
            found = self._store.find(key, name)
            if found is not None and found.ref.digest != digest:
                raise StoreError(
                    f"the store made other content under {key}/{name} "
                    f"({found.ref.digest[:12]}, the archive has {digest[:12]}); "
                    "restore into another store"
                )

    def _take(self, member: Member, part: Path, bar: Bar) -> None:
        """Copies the next member into a file, if it is the one that the list says."""
        info = next(self._members, None)
        if info is None:
            raise StoreError(f"{self._file} is cut short: {member.path} is not in it")
        if info.name != member.path or info.size != member.num_bytes or not info.isreg():
            raise StoreError(f"{self._file} is damaged: expected {member.path}, got {info.name}")
        digest = hashlib.sha256()
        with part.open("wb") as target:
            for piece in _pieces(self._open(info)):
                digest.update(piece)
                target.write(piece)
                bar.advance(len(piece))
        if digest.hexdigest() != member.sha256:
            raise StoreError(f"{self._file} is damaged: {member.path} has another digest")

    def _open(self, info: tarfile.TarInfo) -> IO[bytes]:
        opened = self._tar.extractfile(info)
        if opened is None:
            raise StoreError(f"{self._file} is damaged: {info.name} is no file")
        return opened

    def _place(self, member: Member, part: Path) -> None:
        objects, path = self._store.objects, member.path
        if path.startswith("manifests/"):
            self._num_new += objects.put_new(path, self._manifest(part.read_bytes(), path))
        elif path.startswith("runs/"):
            if objects.get(path) != part.read_bytes():
                objects.put(path, part.read_bytes())
                self._num_new += 1
        elif path.startswith(f"artifacts/{POLICIES}/"):
            if objects.size(path) != member.num_bytes:
                objects.put_file(path, part)
                self._num_new += 1
        elif objects.put_new(path, part.read_bytes()):
            self._num_new += 1
        else:
            self._own[path] = self._stored(path)

    def _manifest(self, data: bytes, path: str) -> bytes:
        """A manifest that names the bytes that this store has."""
        manifest = Manifest.from_bytes(data, path)
        files = tuple(self._own.get(file.path, file) for file in manifest.files)
        return data if files == manifest.files else replace(manifest, files=files).to_bytes()

    def _stored(self, path: str) -> StoredFile:
        """The bytes that this store has, which must be of the same content."""
        kind = kind_of(path.split("/")[1])
        data = b"".join(self._store.objects.pieces(path))
        if table_digest(kind, from_parquet(kind, data, path)) != path.split("/")[2]:
            raise StoreError(f"{path} is damaged in the store {self._store.uri}")
        return StoredFile(path, len(data), hashlib.sha256(data).hexdigest())


def _pieces(source: IO[bytes]) -> Iterator[bytes]:
    while piece := source.read(_PIECE):
        yield piece
