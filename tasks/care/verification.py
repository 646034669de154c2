"""Is every object what its name, its manifest and its digests say?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from agents.errors import StoreError
from agents.progress import progress
from tasks.artifacts import ArtifactStore
from tasks.care.reachable import closure_of, manifest_path
from tasks.digests import files_digest, table_digest
from tasks.manifest import Manifest, StoredFile
from tasks.runs import RunRecord, StageRecord, run_record_of, stage_record_of
from tasks.schemas import POLICIES, TABLES
from tasks.tables import from_parquet
from tasks.trips import trip_record_of


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
    sizes = {meta.path: meta.num_bytes for meta in objects.list_meta("artifacts")}
    manifests: list[Manifest] = []
    for path, data in _contents(store, "manifests"):
        try:
            manifest = Manifest.from_bytes(data, path)
            manifests.append(manifest)
            problems += _manifest_problems(manifest, path)
        except StoreError as error:
            problems.append(Problem(path, str(error)))
    problems += _records(store, manifests)
    files: dict[str, tuple[StoredFile, Manifest]] = {}
    for manifest in manifests:
        for file in manifest.files:
            if files.setdefault(file.path, (file, manifest))[0] != file:
                problems.append(Problem(file.path, "two manifests name different bytes for it"))
    num_bytes = sum(sizes.get(path, 0) for path in files)
    with progress("Verify", num_bytes, "bytes") as bar:
        for path, (file, manifest) in files.items():
            wrong = _file_problem(store, file, manifest, sizes.get(path), rows)
            if wrong:
                problems.append(Problem(path, wrong))
            bar.advance(sizes.get(path, 0), path.split("/")[1])
    unnamed = sorted(set(sizes) - set(files))
    return Verification(len(manifests), len(files), num_bytes, problems, unnamed)


def _manifest_problems(manifest: Manifest, path: str) -> Iterator[Problem]:
    """What is wrong with what a manifest says, apart from the bytes of its objects."""
    ref = manifest.ref
    if manifest_path((ref.key, ref.name)) != path:
        yield Problem(path, f"it is the manifest of {ref.key}/{ref.name}")
    below = f"artifacts/{ref.kind}/{ref.digest}/"
    if not manifest.files or any(not file.path.startswith(below) for file in manifest.files):
        yield Problem(path, "it names objects of another artifact")
    elif ref.kind == POLICIES:
        names = ((file.path.rpartition("/")[2], file.sha256) for file in manifest.files)
        if files_digest(names) != ref.digest:
            yield Problem(path, "the digest of its files is not that of the policy")
    elif ref.kind not in TABLES or len(manifest.files) != 1:
        yield Problem(path, f"expected one table of a known kind, got {ref.kind}")


def _file_problem(
    store: ArtifactStore, file: StoredFile, manifest: Manifest, size: int | None, rows: bool
) -> str:
    """What is wrong with the bytes of an object; empty where nothing is."""
    if size is None:
        return "missing"
    if size != file.num_bytes:
        return f"damaged: {size:,} bytes, expected {file.num_bytes:,}"
    keep = rows and manifest.ref.kind in TABLES
    digest, parts = hashlib.sha256(), []
    try:
        for piece in store.objects.pieces(file.path):
            digest.update(piece)
            if keep:
                parts.append(piece)
        if digest.hexdigest() != file.sha256:
            return "damaged: its bytes have another digest"
        if keep:
            kind = TABLES[manifest.ref.kind]
            table = from_parquet(kind, b"".join(parts), file.path)
            if table.num_rows != manifest.num_rows:
                return f"damaged: {table.num_rows:,} rows, expected {manifest.num_rows:,}"
            if table_digest(kind, table) != manifest.ref.digest:
                return "damaged: its rows have another digest"
    except StoreError as error:
        return str(error)
    return ""


def _records(store: ArtifactStore, manifests: list[Manifest]) -> Iterator[Problem]:
    """Records that cannot be read, and what they or manifests refer to that is gone."""
    runs: list[RunRecord] = []
    stages: list[StageRecord] = []
    for path, data in _contents(store, "runs"):
        try:
            if path.endswith("/run.json"):
                runs.append(run_record_of(data, path))
            elif "/stages/" in path:
                stages.append(stage_record_of(data, path))
            elif "/trips/" in path:
                trip_record_of(data, path)
        except StoreError as error:
            yield Problem(path, str(error))
    for address, who in sorted(closure_of(manifests, runs, stages).missing.items()):
        yield Problem(manifest_path(address), f"missing: {who} refers to it")


def _contents(store: ArtifactStore, prefix: str) -> Iterator[tuple[str, bytes]]:
    """All small documents under a prefix; what was removed since it was listed is left out."""
    paths = store.objects.paths(prefix)
    for path, data in zip(paths, store.objects.get_many(paths), strict=True):
        if data is not None:
            yield path, data
