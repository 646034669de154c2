"""The web's answers to a stage: what it may replay, what it has paid, and the record it leaves.

As with pages, what came is logged in shards before the trajectories that used it, so that a killed
stage goes on with the answers that it had, and does not pay for them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from agents.web.budget import Budget
from agents.web.cache import CachedAnswer, WebCache
from tasks.jobs.payload import Job
from tasks.manifest import ArtifactRef
from tasks.parts import PARTS
from tasks.runs import RunLog
from tasks.shards import ShardLog
from tasks.web_caches import CACHE_MODE, SOURCES, SPEND, WEB_CACHE

_FOLDER = "web_cache"


class CacheLog:
    """The web cache of one stage, backed by the store.

    Args:
        job: The stage.

    Attributes:
        cache: What the stage's tools ask.

    Raises:
        StoreError: What is to be replayed, or was logged before, cannot be read.
    """

    def __init__(self, job: Job) -> None:
        web = job.config.web
        self._job = job
        self._records = web.cache != "off"
        self._log = ShardLog(job.store, job.key, WEB_CACHE, _FOLDER)
        resumed = self._log.rows() if self._records else []
        self._sources = [ArtifactRef.from_json(ref) for ref in job.options.get(SOURCES, ())]
        self._paid_before = _paid_by_others(job)
        # Two that share the work may have paid for the same answer.
        paid_here = sum(row["cost"] for row in self._log.every_row()) if self._records else 0.0
        self.cache = WebCache(
            web.cache,
            self._recorded(),
            (CachedAnswer(**row) for row in resumed),
            web.cache_ttl_s,
            self._budget(paid_here),
        )

    def flush(self) -> None:
        """Logs the answers that came since the last call.

        Raises:
            StoreError: They could not be written.
        """
        self._log.append([asdict(answer) for answer in self.cache.drain()])

    def write(self) -> list[ArtifactRef]:
        """Writes the stage's `web_cache`, made from what it replayed; nothing when `off`."""
        if not self._records:
            return []
        self.flush()
        metadata = {CACHE_MODE: self._job.config.web.cache}
        rows = self._log.rows()
        return [self._job.write_table(WEB_CACHE, rows, parents=self._sources, metadata=metadata)]

    def metrics(self) -> dict[str, float]:
        """Requests, hit rate and what this stage has paid, over all its starts."""
        paid = self.cache.budget.spent - self._paid_before
        return {**self.cache.metrics(), SPEND: paid}

    def _budget(self, paid_here: float) -> Budget:
        """What may be spent; of several that share a stage's work each has a share of the rest."""
        limit, spent = self._job.config.web.budget, self._paid_before + paid_here
        if limit is not None:
            limit = spent + (limit - spent) / self._job.options.get(PARTS, 1)
        return Budget(limit, spent)

    def _recorded(self) -> Iterator[CachedAnswer]:
        for source in self._sources:
            for row in self._job.store.read_table(source).to_pylist():
                yield CachedAnswer(**row)


def _paid_by_others(job: Job) -> float:
    """What the run's other stages have paid; a stage that was reused has paid nothing."""
    if job.config.web.budget is None:
        return 0.0
    records = RunLog(job.store.objects).stages(job.context.run)
    others = (r for r in records if not r.reused and r.key != job.key)
    return float(sum(record.metrics.get(SPEND, 0.0) for record in others))
