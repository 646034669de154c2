"""What no kept run refers to, and its removal: manifests first, then what only they held.

Nothing younger than a grace period is touched, so that a writer loses neither the objects that
its manifest is going to name nor its finished rows. While a run is alive, unreferenced artifacts
stay as well: it may be about to reuse them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agents.errors import UsageError
from agents.progress import progress
from tasks.artifacts import ArtifactStore
from tasks.care.reachable import address_of, closure_of, manifest_path
from tasks.catalog_documents import manifest_of
from tasks.catalog_index import open_index
from tasks.leases import LONG_AGO_S, is_held
from tasks.parts import stage_key_of
from tasks.run_owner import run_of
from tasks.runs import RunLog, StageRecord
from tasks.storage.objects import ObjectMeta

_AT_ONCE = 100


@dataclass
class Garbage:
    """Something that can go.

    Attributes:
        what: `record` of a dropped run, `artifact`, `object` that no manifest names, `partial`
            rows of a stage, or `lease`.
        name: How a person would call it.
        run: The run that made it first, where that is known.
        manifest: Its manifest; empty where it has none.
        objects: Its objects.
        num_bytes: Bytes of all of it.
    """

    what: str
    name: str
    run: str = ""
    manifest: str = ""
    objects: list[str] = field(default_factory=list)
    num_bytes: int = 0

    def add(self, meta: ObjectMeta) -> None:
        """Adds an object."""
        self.objects.append(meta.path)
        self.num_bytes += meta.num_bytes


@dataclass(frozen=True)
class Plan:
    """What a collection would do.

    Attributes:
        garbage: What goes.
        live: Runs that are alive.
        deferred: What stays only because a run is alive.
        young: Objects that stay only because they are young.
        kept_bytes: Bytes of everything that stays.
    """

    garbage: list[Garbage]
    live: list[str]
    deferred: list[Garbage]
    young: list[str]
    kept_bytes: int

    @property
    def num_bytes(self) -> int:
        """Bytes of everything that goes."""
        return sum(item.num_bytes for item in self.garbage)


def plan_collection(store: ArtifactStore, drop: Sequence[str], grace_s: float) -> Plan:
    """Finds what no kept run refers to; changes nothing.

    Args:
        store: The store.
        drop: Runs to give up with all that only they refer to.
        grace_s: Nothing younger goes, in seconds.

    Raises:
        UsageError: A run to drop is unknown, or alive.
        StoreError: The store cannot be read.
    """
    oldest = time.time() - grace_s
    # Objects are listed before documents: what is written in between is young, not forgotten.
    metas = {meta.path: meta for meta in store.objects.list_meta("")}
    index = open_index(store.objects)
    manifests = [manifest_of(row) for row in index.manifests.to_pylist()]
    log = RunLog(store.objects)
    runs, stages = log.runs(), log.stages()
    held = _held_keys(store, metas)
    live = _live_runs(metas, stages, held, oldest)
    known = {run.run for run in runs} | {stage.run for stage in stages}
    for name in drop:
        if name not in known:
            raise UsageError(f"--drop {name}: there is no such run; `evolvesearch runs` lists them")
        if name in live:
            raise UsageError(f"--drop {name}: the run is alive; stop it first")
    kept_stages = [stage for stage in stages if stage.run not in drop]
    closure = closure_of(manifests, [run for run in runs if run.run not in drop], kept_stages)
    garbage: list[Garbage] = []
    deferred: list[Garbage] = []
    young: list[str] = []
    placed = closure.paths | {manifest_path(address) for address in closure.manifests}
    unreferenced = defaultdict[str, Garbage](lambda: Garbage("object", ""))
    for manifest in manifests:
        address = address_of(manifest)
        path = manifest_path(address)
        if address in closure.manifests or path not in metas:
            continue
        item = Garbage("artifact", "/".join(address), manifest.run, manifest=path)
        item.num_bytes = metas[path].num_bytes
        own = [metas[file.path] for file in manifest.files if file.path in metas]
        if metas[path].modified_s > oldest:
            young += [path, *(meta.path for meta in own)]
            placed |= {path, *(meta.path for meta in own)}
            continue
        placed.add(path)
        for meta in own:
            if meta.path not in placed:
                placed.add(meta.path)
                item.add(meta)
        (deferred if live else garbage).append(item)
    waiting = {stage.key for stage in kept_stages if stage.status not in ("done", "skipped")}
    fresh = {_stage_of(meta.path) for meta in metas.values() if meta.modified_s > oldest}
    fresh |= held
    for path, meta in metas.items():
        if path in placed:
            continue
        top = path.partition("/")[0]
        if top == "runs":
            if path.split("/")[1] in drop:
                unreferenced[path] = Garbage("record", path, path.split("/")[1])
                unreferenced[path].add(meta)
        elif top in ("partial", "leases"):
            stage = _stage_of(path)
            if stage in fresh:
                young.append(path)
            elif stage not in waiting:
                what = "partial" if top == "partial" else "lease"
                item = unreferenced.setdefault(f"{top}/{stage}", Garbage(what, stage))
                item.add(meta)
        elif top == "artifacts":
            if meta.modified_s > oldest:
                young.append(path)
            else:
                item = Garbage("object", path)
                item.add(meta)
                (deferred if live else garbage).append(item)
    garbage = [*unreferenced.values(), *garbage]
    going = sum(item.num_bytes for item in garbage)
    total = sum(meta.num_bytes for meta in metas.values())
    return Plan(garbage, sorted(live), deferred, sorted(young), total - going)


def collect(store: ArtifactStore, plan: Plan) -> None:
    """Removes what a plan names, unless a manifest written since refers to it.

    Raises:
        StoreError: Something could not be removed; the same again goes on.
    """
    records = [path for item in plan.garbage if item.what == "record" for path in item.objects]
    # A run's own record goes last: as long as it is there, the run can be dropped again.
    records.sort(key=lambda path: path.endswith("/run.json"))
    manifests = [item.manifest for item in plan.garbage if item.manifest]
    doomed = [path for item in plan.garbage if item.what != "record" for path in item.objects]
    total = len(records) + len(manifests) + len(doomed)
    with progress("Remove", total, "objects") as bar:

        def remove(paths: Sequence[str]) -> None:
            for first in range(0, len(paths), _AT_ONCE):
                store.objects.delete(list(paths[first : first + _AT_ONCE]))
                bar.advance(len(paths[first : first + _AT_ONCE]))

        remove(manifests)
        named = {
            file["path"]
            for files in open_index(store.objects).manifests["files"].to_pylist()
            for file in files
        }
        remove([path for path in doomed if path not in named])
        remove(records)


def _held_keys(store: ArtifactStore, metas: Mapping[str, ObjectMeta]) -> set[str]:
    """Stage keys that a process works on; a lease that nobody renews any more is not asked for."""
    renewed = {
        path.split("/")[1]
        for path, meta in metas.items()
        if path.startswith("leases/") and meta.modified_s > time.time() - LONG_AGO_S
    }
    return {stage_key_of(key) for key in renewed if is_held(store.objects, key)}


def _live_runs(
    metas: Mapping[str, ObjectMeta], stages: Sequence[StageRecord], held: set[str], oldest: float
) -> set[str]:
    """Runs that are at work: they or a stage of theirs hold a lease, or one ran just now."""
    leased = {_stage_of(path) for path in metas if path.startswith("leases/")}
    return {run for key in held if (run := run_of(key))} | {
        stage.run
        for stage in stages
        if stage.status == "running"
        and (
            stage.key in held
            # A store of before there were leases: then a young record has to do.
            or (stage.key not in leased and _written_s(metas, stage) > oldest)
        )
    }


def _written_s(metas: Mapping[str, ObjectMeta], stage: StageRecord) -> float:
    return metas[stage.path].modified_s if stage.path in metas else 0.0


def _stage_of(path: str) -> str:
    """The stage key whose partial rows or lease an object is; empty for all others."""
    parts = path.split("/")
    return stage_key_of(parts[1]) if parts[0] in ("partial", "leases") and len(parts) > 2 else ""
