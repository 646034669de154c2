"""What runs refer to: the artifacts of their records, and all that these were made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.manifest import Manifest
from tasks.runs import RunRecord, StageRecord

Address = tuple[str, str]
"""Stage key and name of an artifact."""


@dataclass(frozen=True)
class Closure:
    """The manifests that some runs need, and those of them that are gone.

    Attributes:
        manifests: What is there, by address.
        missing: What is referred to, but not in the store: by address, who refers to it.
    """

    manifests: dict[Address, Manifest]
    missing: dict[Address, str]

    @property
    def paths(self) -> set[str]:
        """Paths of all objects of these manifests."""
        return {file.path for manifest in self.manifests.values() for file in manifest.files}


def address_of(manifest: Manifest) -> Address:
    """Where a manifest stands."""
    return manifest.ref.key, manifest.ref.name


def manifest_path(address: Address) -> str:
    """Path of the manifest at an address."""
    return f"manifests/{address[0]}/{address[1]}.json"


def closure_of(
    manifests: Sequence[Manifest], runs: Iterable[RunRecord], stages: Iterable[StageRecord]
) -> Closure:
    """All that runs refer to.

    What a stage made before it was stopped counts too, so that it can go on from there.

    Args:
        manifests: All manifests of the store.
        runs: Records of the runs.
        stages: Records of their stages.
    """
    by_address = {address_of(manifest): manifest for manifest in manifests}
    by_digest: dict[str, Address] = {}
    by_key: dict[str, list[Address]] = {}
    for address, manifest in by_address.items():
        by_digest.setdefault(manifest.ref.digest, address)
        by_key.setdefault(address[0], []).append(address)
    found: dict[Address, Manifest] = {}
    missing: dict[Address, str] = {}
    waiting: list[tuple[Address, str, str]] = []
    for stage in stages:
        who = f"stage {stage.stage} of run {stage.run}"
        waiting += [((ref.key, ref.name), ref.digest, who) for ref in stage.artifacts]
        waiting += [(address, "", who) for address in by_key.get(stage.key, ())]
    for run in runs:
        for entry in run.policies:
            if (policy := by_digest.get(entry.digest)) is not None:
                waiting.append((policy, entry.digest, f"run {run.run}"))
    while waiting:
        address, digest, who = waiting.pop()
        if address not in by_address:
            if digest in by_digest:
                address = by_digest[digest]
            else:
                missing.setdefault(address, who)
                continue
        if address in found:
            continue
        manifest = found[address] = by_address[address]
        who = f"artifact {manifest.ref.kind} {manifest.ref.digest[:12]}"
        waiting += [((p.key, p.name), p.digest, who) for p in manifest.parents]
    return Closure(found, missing)
