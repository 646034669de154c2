"""Which recorded answers of the web a stage replays.

The choice is part of a stage's key, so it must be the same when a run goes on after an
interruption: records that other runs make meanwhile do not count.
"""

from __future__ import annotations

from agents.errors import UsageError
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.manifest import ArtifactRef, Manifest
from tasks.references import resolve
from tasks.runs import RunLog, StageRecord

WEB_CACHE = "web_cache"
"""The kind of artifact, and its name among a stage's artifacts."""

CACHE_MODE = "mode"
"""Key of its metadata: `record`, `replay` or `offline`."""

SPEND = "web_spend"
"""The metric that says what a stage has paid."""

SOURCES = "web_caches"
"""Option by which the child of a stage is told what to replay."""


def replayed_caches(
    store: ArtifactStore, config: StageConfig, context: StageContext, stage: str
) -> list[ArtifactRef]:
    """The records that a stage replays, the most fitting first.

    That of the same stage comes first, so that a run that repeats another one sees what that one
    saw, then those of the other stages, the latest first.

    Args:
        store: The store.
        config: Says whether anything is replayed, and whose record.
        context: Which stage of which run it is.
        stage: Its name.

    Raises:
        UsageError: There is no such record, and nothing may be asked without one.
    """
    web = config.web
    if web.cache not in ("replay", "offline"):
        return []
    source = web.cache_from
    if not source:
        source = _latest_run(store, context, web.cache)
        if not source:
            if web.cache == "replay":
                return []
            raise UsageError(
                f"web.cache=offline: the store {store.uri} has no recorded web; "
                "make a run with --set web.cache=record first"
            )
    records = RunLog(store.objects).stages(source) if RunLog.is_name(source) else []
    if not records and web.cache_from:
        return [resolve(store, WEB_CACHE, source)]

    def fit(record: StageRecord) -> tuple[bool, str]:
        same = (record.iteration, record.stage, record.subject) == (
            context.iteration,
            stage,
            context.subject,
        )
        return same, record.started_at

    records.sort(key=fit, reverse=True)
    refs = [ref for record in records for ref in record.artifacts if ref.kind == WEB_CACHE]
    if not refs:
        raise UsageError(f"web.cache_from: run {source} has no recorded web (web_cache)")
    return list(dict.fromkeys(refs))


def _latest_run(store: ArtifactStore, context: StageContext, mode: str) -> str:
    """The run that recorded last; empty where none has."""
    own = RunLog(store.objects).run(context.run)

    def counts(manifest: Manifest) -> bool:
        made_by = manifest.metadata.get(CACHE_MODE)
        if manifest.ref.kind != WEB_CACHE or made_by == "offline":
            return False
        if manifest.run == context.run:
            # The run of this name had another mode before; what it makes now does not count.
            return made_by != mode
        return own is None or manifest.created_at < own.started_at

    found = [manifest for manifest in store.manifests() if counts(manifest)]
    return found[-1].run if found else ""
