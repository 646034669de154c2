"""How two filters' verdicts on the same trajectories differ."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from agents.errors import UsageError
from tasks.artifacts import ArtifactStore
from tasks.manifest import ArtifactRef, Manifest
from tasks.references import resolve
from tasks.runs import RunLog

_COUNTS = """
with pairs as (
    select o.reason as before, n.reason as after, coalesce(o.kept, false) as kept_before,
        coalesce(n.kept, false) as kept_after, count(*) as num_trajectories
    from before o full join after n using (trajectory_id)
    group by all
)
select * from pairs
order by kept_before = kept_after, num_trajectories desc, before nulls last, after nulls last
"""


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """How many trajectories went from one verdict to another.

    Attributes:
        before: The old reason; None: it was not judged.
        after: The new reason; None: it was not judged.
        kept_before: Whether it was a training example.
        kept_after: Whether it is one now.
        num_trajectories: How many.
    """

    before: str | None
    after: str | None
    kept_before: bool
    kept_after: bool
    num_trajectories: int


def verdict_changes(before: pa.Table, after: pa.Table) -> list[VerdictChange]:
    """Counts trajectories by old and new verdict: first those whose fate has changed.

    Args:
        before: Old verdicts: trajectory_id, kept, reason.
        after: New ones.
    """
    with duckdb.connect() as connection:
        connection.register("before", before)
        connection.register("after", after)
        counts = connection.sql(_COUNTS).to_arrow_table()
    return [VerdictChange(**row) for row in counts.to_pylist()]


def find_verdicts(store: ArtifactStore, text: str) -> Manifest:
    """The verdicts that a person means.

    Args:
        store: Where to look.
        text: `RUN` (its newest), `RUN/ITERATION`, `STAGE_KEY/NAME`, or first digits of a digest.

    Raises:
        UsageError: Nothing or more than one thing is meant.
    """
    run, slash, iteration = text.partition("/")
    found: list[ArtifactRef] = [
        ref
        for stage in (RunLog(store.objects).stages(run) if RunLog.is_name(run) else ())
        if stage.stage == "filter" and (not slash or str(stage.iteration) == iteration)
        for ref in stage.artifacts
        if ref.kind == "verdicts"
    ]
    if found:
        return store.manifest(found[-1])
    try:
        return store.manifest(resolve(store, "verdicts", text))
    except UsageError as error:
        raise UsageError(f"{error}, or RUN or RUN/ITERATION of a run that filtered") from error
