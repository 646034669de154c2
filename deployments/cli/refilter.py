"""`evolvesearch filter --against`: judge stored trajectories anew and compare the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from agents.errors import UsageError
from deployments.cli.options import Settings
from deployments.cli.policy import config_of_run
from deployments.cli.tables import plain_table
from flows.config import EvolutionConfig
from tasks.references import reference_of
from tasks.runs import RunLog
from tasks.verdict_changes import find_verdicts, verdict_changes


@dataclass(frozen=True)
class Again:
    """A filter to be run over what another one judged.

    Attributes:
        config: The settings of that one's run, with those of this command on top.
        options: The stage's options, its inputs being those of the other.
        compare: Given the stage's document, how the verdicts differ.
    """

    config: EvolutionConfig
    options: dict[str, Any]
    compare: Callable[[Mapping[str, Any]], Mapping[str, Any]]


def prepare(settings: Settings, against: str, options: Mapping[str, Any]) -> Again:
    """Finds the verdicts, and what they were made from.

    Raises:
        UsageError: Nothing is called so, or what it judged is not known.
    """
    config = settings.config()
    store = settings.existing_store(config.store)
    old = find_verdicts(store, against)
    record = RunLog(store.objects).run(old.run) if RunLog.is_name(old.run) else None
    if settings.profile is None and record is not None:
        config = config_of_run(record, settings)
    chosen = dict(options)
    for kind in ("questions", "trajectories"):
        origin = next((parent for parent in old.parents if parent.kind == kind), None)
        if chosen[kind] is None:
            if origin is None:
                raise UsageError(f"{against}: made from no {kind}; name them with --{kind}")
            chosen[kind] = reference_of(origin)

    def compare(document: Mapping[str, Any]) -> Mapping[str, Any]:
        new = store.find(*document["artifacts"]["verdicts"]["reference"].rsplit("/", 1))
        if new is None:
            raise UsageError("the new verdicts are gone; run the same command again")
        tables = [
            store.read_table(ref).select(["trajectory_id", "kept", "reason"])
            for ref in (old.ref, new.ref)
        ]
        changes = verdict_changes(*tables)
        return {
            "against": {"reference": reference_of(old.ref), "digest": old.ref.digest},
            "changes": [asdict(change) for change in changes],
            "num_newly_kept": _count(changes, kept_before=False, kept_after=True),
            "num_no_longer_kept": _count(changes, kept_before=True, kept_after=False),
        }

    return Again(config, chosen, compare)


def changes_table(document: Mapping[str, Any]) -> Table:
    """Old reason to new reason, a row a pair, those whose fate has changed first."""
    table = plain_table(f"Verdicts, against {document['against']['digest'][:12]}")
    for heading in ("before", "after", ""):
        table.add_column(heading)
    table.add_column("trajectories", justify="right")
    for row in document["changes"]:
        fate = ""
        if row["kept_before"] != row["kept_after"]:
            fate = "newly kept" if row["kept_after"] else "no longer kept"
        elif row["before"] != row["after"]:
            fate = "other reason"
        reasons = [row[name] or "(not judged)" for name in ("before", "after")]
        table.add_row(*reasons, fate, f"{row['num_trajectories']:,}")
    return table


def _count(changes: list[Any], *, kept_before: bool, kept_after: bool) -> int:
    return sum(
        change.num_trajectories
        for change in changes
        if (change.kept_before, change.kept_after) == (kept_before, kept_after)
    )
