"""References between stages: short texts that name artifacts of the store.

The exact form is `<stage key>/<name>`, the address of a manifest. People may also give the first
digits of an artifact's digest, and for a policy everything that `ArtifactStore.resolve_policy`
understands: `RUN`, `RUN/ITERATION`, or a model folder, which is then copied into the store.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

from agents.errors import UsageError
from tasks.artifacts import ArtifactStore
from tasks.manifest import ArtifactRef
from tasks.schemas import POLICIES


def reference_of(ref: ArtifactRef) -> str:
    """The exact reference to an artifact."""
    return f"{ref.key}/{ref.name}"


def resolve(store: ArtifactStore, kind: str, text: str) -> ArtifactRef:
    """Finds the artifact that a reference names.

    Args:
        store: Where to look.
        kind: The kind of artifact that is expected.
        text: The reference.

    Raises:
        UsageError: Nothing, more than one thing, or something of another kind is named.
    """
    key, slash, name = text.rpartition("/")
    if slash and "/" not in key and (manifest := store.find(key, name)) is not None:
        if manifest.ref.kind != kind:
            raise UsageError(f"{text}: expected {kind}, got {manifest.ref.kind}")
        return manifest.ref
    if kind == POLICIES:
        return _policy(store, text)
    found = {m.ref.digest: m.ref for m in store.manifests() if m.ref.kind == kind}
    matches = [ref for digest, ref in found.items() if len(text) >= 4 and digest.startswith(text)]
    if len(matches) == 1:
        return matches[0]
    problem = f"{len(matches)} digests start so" if matches else "there is none in this store"
    raise UsageError(
        f"{kind} {text!r}: {problem}; expected STAGE_KEY/NAME or the first digits of a digest"
    )


def _policy(store: ArtifactStore, text: str) -> ArtifactRef:
    policy = store.resolve_policy(text)
    for manifest in store.manifests():
        if manifest.ref.kind == POLICIES and manifest.ref.digest == policy.digest:
            return manifest.ref
    folder = Path(unquote(urlparse(policy.uri).path))
    return store.write_policy(
        folder, stage_key=f"import-{policy.digest[:32]}", metadata={"source": text}
    )
