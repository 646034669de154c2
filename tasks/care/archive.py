"""A run as one file: a tar whose first member lists the others, with the digest of each.

The order is that of writing a store: objects, then the manifests that make them artifacts, then
the records of the stages, last the run's own. The same run gives the same bytes. `restore` is in
`tasks.care.restore`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from agents.errors import StoreError, UsageError
from agents.progress import progress
from tasks.artifacts import ArtifactStore
from tasks.care.reachable import closure_of, manifest_path
from tasks.catalog_documents import manifest_of
from tasks.catalog_index import open_index
from tasks.runs import RunLog
from tasks.storage.errors import one_line

HEADER = "evolvesearch-archive.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One object in an archive.

    Attributes:
        path: Its path in the store.
        num_bytes: Its size.
        sha256: Digest of its bytes.
    """

    path: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Contents:
    """What an archive holds, as its first member says.

    Attributes:
        run: Name of the run.
        members: Its objects, in order.
        digests: Digest of the artifact of each manifest, by the manifest's path.
    """

    run: str
    members: tuple[Member, ...]
    digests: dict[str, str]

    @property
    def num_bytes(self) -> int:
        """Bytes of all objects."""
        return sum(member.num_bytes for member in self.members)

    def to_bytes(self) -> bytes:
        """The first member."""
        document = {
            "format": FORMAT,
            "run": self.run,
            "members": [asdict(member) for member in self.members],
            "digests": self.digests,
        }
        return json.dumps(document, indent=1, sort_keys=True).encode()


def archive_run(store: ArtifactStore, run: str, file: Path, *, replace: bool = False) -> Contents:
    """Writes a run with everything that it refers to into one file, which appears whole.

    Args:
        store: The store.
        run: Name of the run.
        file: The file to be made.
        replace: Whether a file of that name may be replaced.

    Returns:
        What the archive holds.

    Raises:
        UsageError: There is no such run, or the file is there already.
        StoreError: An object is missing or damaged, or the file cannot be written.
    """
    if file.exists() and not replace:
        raise UsageError(f"{file} is there already; name another file, or give --force")
    contents, documents = _contents(store, run)
    with one_line("write", str(file)):
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with (
            one_line("write", str(file)),
            os.fdopen(handle, "wb") as target,
            tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            progress(f"Archive {run}", contents.num_bytes, "bytes") as bar,
        ):
            head = contents.to_bytes()
            tar.addfile(_info(HEADER, len(head)), io.BytesIO(head))
            for member in contents.members:
                if member.path in documents:
                    source = iter((documents[member.path],))
                else:
                    source = store.objects.pieces(member.path)
                reader = _Checked(source, member, bar.advance)
                tar.addfile(_info(member.path, member.num_bytes), reader)
                reader.finish()
        os.chmod(name, 0o644)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise
    return contents


def _contents(store: ArtifactStore, run: str) -> tuple[Contents, dict[str, bytes]]:
    """What the archive of a run holds, and the bytes of its manifests and records."""
    log = RunLog(store.objects)
    record = log.run(run) if RunLog.is_name(run) else None
    if record is None:
        raise UsageError(f"no run named {run!r} in this store; `evolvesearch runs` lists them")
    manifests = [manifest_of(row) for row in open_index(store.objects).manifests.to_pylist()]
    closure = closure_of(manifests, [record], log.stages(run))
    for address, who in closure.missing.items():
        raise StoreError(f"{who} refers to {'/'.join(address)}, which is not in this store")
    files = {file.path: file for each in closure.manifests.values() for file in each.files}
    members = [Member(file.path, file.num_bytes, file.sha256) for _, file in sorted(files.items())]
    records = sorted(
        (meta.path for meta in store.objects.list_meta(f"runs/{run}")),
        key=lambda path: (path.endswith("/run.json"), path),
    )
    documents: dict[str, bytes] = {}
    paths = [*sorted(map(manifest_path, closure.manifests)), *records]
    for path, data in zip(paths, store.objects.get_many(paths), strict=True):
        if data is None:
            raise StoreError(f"{path} was removed while the run was being archived")
        documents[path] = data
        members.append(Member(path, len(data), hashlib.sha256(data).hexdigest()))
    digests = {
        manifest_path(address): manifest.ref.digest
        for address, manifest in sorted(closure.manifests.items())
    }
    return Contents(run, tuple(members), digests), documents


def _info(path: str, num_bytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.size = num_bytes
    info.mode = 0o644
    return info


class _Checked(io.RawIOBase):
    """Reads pieces as a file and sees whether they are what a member says."""

    def __init__(
        self, source: Iterator[bytes], member: Member, advance: Callable[[float], None]
    ) -> None:
        self._source = source
        self._member = member
        self._advance = advance
        self._digest = hashlib.sha256()
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as many as were asked for where there are so many."""
        parts = [self._rest]
        length = len(self._rest)
        while length < size and (piece := next(self._source, b"")):
            parts.append(piece)
            length += len(piece)
        data = b"".join(parts)
        taken, self._rest = data[:size], data[size:]
        if len(taken) < size:
            raise StoreError(
                f"{self._member.path} is damaged: it is shorter than its manifest says"
            )
        self._digest.update(taken)
        self._advance(len(taken))
        return taken

    def finish(self) -> None:
        """Says whether all of it was read, and rightly.

        Raises:
            StoreError: Its bytes are not those of the manifest.
        """
        if self._rest or next(self._source, b"") or self._digest.hexdigest() != self._member.sha256:
            raise StoreError(f"{self._member.path} is damaged: its digest is not the manifest's")
