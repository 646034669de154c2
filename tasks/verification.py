"""Is every object what its name, its manifest and its digests say?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from agents.errors import StoreError
from agents.progress import progress
from tasks.artifacts import ArtifactStore
from tasks.digests import files_digest, table_digest
from tasks.manifest import Manifest, StoredFile
from tasks.object_meta import list_meta, local_file, pieces
from tasks.reachable import closure_of, manifest_path
from tasks.runs import RunRecord, StageRecord, run_record_of, stage_record_of
from tasks.schemas import POLICIES, TABLES
from tasks.tables import from_parquet


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be.

    Attributes:
        path: The object's path.
        problem: What is wrong with it, in one line.
    """

    path: str
    problem: str


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        num_manifests: Manifests read.
        num_objects: Objects whose bytes were read.
        num_bytes: Bytes of them.
        problems: What is damaged or missing.
        unnamed: Objects under `artifacts/` that no manifest names, such as a killed writer leaves.
    """

    num_manifests: int
    num_objects: int
    num_bytes: int
    problems: list[Problem]
    unnamed: list[str]


def verify_store(store: ArtifactStore, *, rows: bool = True) -> Verification:
    """Reads every object of the store and recomputes every digest.

    Args:
        store: The store.
        rows: Also recompute the digest of each table's rows, which costs the most time.

    Raises:
        StoreError: The store cannot be listed.
    """
    problems: list[Problem] = []
    objects = store.objects
    sizes = {meta.path: meta.num_bytes for meta in list_meta(objects, "artifacts")}
    manifests: list[Manifest] = []
    for meta in list_meta(objects, "manifests"):
        try:
            manifest = Manifest.from_bytes(objects.get(meta.path) or b"", meta.path)
            if manifest_path((manifest.ref.key, manifest.ref.name)) != meta.path:
                raise StoreError(f"it is the manifest of {manifest.ref.key}/{manifest.ref.name}")
            manifests.append(manifest)
        except StoreError as error:
            problems.append(Problem(meta.path, str(error)))
    problems += _records(store, manifests)
    files: dict[str, StoredFile] = {}
    for manifest in manifests:
        for file in manifest.files:
            other = files.setdefault(file.path, file)
            if other != file:
                problems.append(Problem(file.path, "two manifests name different bytes for it"))
    num_bytes = 0
    damaged: set[str] = set()
    with progress("Verify objects", sum(f.num_bytes for f in files.values()), "bytes") as bar:
        for file in files.values():
            wrong = _bytes_problem(store, file, sizes.get(file.path))
            num_bytes += sizes.get(file.path, 0)
            bar.update(num_bytes)
            if wrong:
                damaged.add(file.path)
                problems.append(Problem(file.path, wrong))
    checked: set[str] = set()
    with progress("Verify artifacts", len(manifests), "artifacts") as bar:
        for manifest in manifests:
            whole = not any(file.path in damaged for file in manifest.files)
            if whole and manifest.ref.digest not in checked:
                checked.add(manifest.ref.digest)
                problems += _content_problems(store, manifest, rows)
            bar.advance()
    unnamed = sorted(set(sizes) - set(files))
    return Verification(len(manifests), len(files), num_bytes, problems, unnamed)


def _bytes_problem(store: ArtifactStore, file: StoredFile, size: int | None) -> str:
    if size is None:
        return "missing"
    if size != file.num_bytes:
        return f"damaged: {size:,} bytes, expected {file.num_bytes:,}"
    digest = hashlib.sha256()
    try:
        for piece in pieces(store.objects, file.path):
            digest.update(piece)
    except StoreError as error:
        return str(error)
    return "" if digest.hexdigest() == file.sha256 else "damaged: its bytes have another digest"


def _content_problems(store: ArtifactStore, manifest: Manifest, rows: bool) -> Iterator[Problem]:
    """What an artifact's bytes, which are those of its manifest, do not hold as it says."""
    ref, path = manifest.ref, manifest_path((manifest.ref.key, manifest.ref.name))
    if any(
        not file.path.startswith(f"artifacts/{ref.kind}/{ref.digest}/") for file in manifest.files
    ):
        yield Problem(path, "it names objects of another artifact")
        return
    if ref.kind == POLICIES:
        digest = files_digest(
            (file.path.rpartition("/")[2], file.sha256) for file in manifest.files
        )
        if digest != ref.digest:
            yield Problem(path, "the digest of its files is not that of the policy")
        return
    if ref.kind not in TABLES or len(manifest.files) != 1:
        yield Problem(path, f"expected one table of a known kind, got {ref.kind}")
        return
    (file,) = manifest.files
    try:
        found = pq.read_metadata(local_file(store.objects, file.path)).num_rows
        if found != manifest.num_rows:
            yield Problem(file.path, f"damaged: {found:,} rows, expected {manifest.num_rows:,}")
        elif rows:
            data = b"".join(pieces(store.objects, file.path))
            kind = TABLES[ref.kind]
            if table_digest(kind, from_parquet(kind, data, file.path)) != ref.digest:
                yield Problem(file.path, "damaged: its rows have another digest")
    except (StoreError, pa.ArrowException, OSError) as error:
        yield Problem(file.path, str(error).split("\n", 1)[0])


def _records(store: ArtifactStore, manifests: list[Manifest]) -> Iterator[Problem]:
    """Records that cannot be read, and what they or manifests refer to that is gone."""
    runs: list[RunRecord] = []
    stages: list[StageRecord] = []
    for meta in list_meta(store.objects, "runs"):
        data = store.objects.get(meta.path)
        if data is None:
            continue
        try:
            if meta.path.endswith("/run.json"):
                runs.append(run_record_of(data, meta.path))
            elif "/stages/" in meta.path:
                stages.append(stage_record_of(data, meta.path))
        except StoreError as error:
            yield Problem(meta.path, str(error))
    for address, who in sorted(closure_of(manifests, runs, stages).missing.items()):
        yield Problem(manifest_path(address), f"missing: {who} refers to it")
