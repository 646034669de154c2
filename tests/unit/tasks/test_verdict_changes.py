"""How verdicts differ between two filters of the same trajectories."""

from __future__ import annotations

import pyarrow as pa
import pytest

from agents.errors import UsageError
from tasks.verdict_changes import VerdictChange, find_verdicts, verdict_changes


def verdicts(**reasons: str) -> pa.Table:
    rows = [{"trajectory_id": t, "kept": r == "kept", "reason": r} for t, r in reasons.items()]
    schema = pa.schema(
        [("trajectory_id", pa.string()), ("kept", pa.bool_()), ("reason", pa.string())]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def test_changes_are_counted_and_those_of_fate_come_first() -> None:
    old = verdicts(a="kept", b="kept", c="incorrect", d="malformed", e="incorrect")
    new = verdicts(a="kept", b="below_top_k", c="kept", d="incorrect", f="kept")
    assert verdict_changes(old, new) == [
        VerdictChange("incorrect", "kept", False, True, 1),
        VerdictChange("kept", "below_top_k", True, False, 1),
        VerdictChange(None, "kept", False, True, 1),
        VerdictChange("incorrect", None, False, False, 1),
        VerdictChange("kept", "kept", True, True, 1),
        VerdictChange("malformed", "incorrect", False, False, 1),
    ]
    assert verdict_changes(verdicts(), verdicts()) == []


def test_verdicts_are_found_by_run_and_by_reference(sample_run) -> None:
    first, second = (sample_run.made[f"filter {i}"]["verdicts"] for i in (0, 1))
    store = sample_run.store
    assert find_verdicts(store, "demo").ref == second
    assert find_verdicts(store, "demo/0").ref == first
    assert find_verdicts(store, first.digest[:8]).ref == first
    assert find_verdicts(store, f"{second.key}/verdicts").ref == second
    with pytest.raises(UsageError, match="RUN/ITERATION of a run that filtered"):
        find_verdicts(store, "demo/7")
