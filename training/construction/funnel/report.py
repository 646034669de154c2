"""The funnel as a table and as a chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from training.construction.funnel.verdicts import Check, FunnelVerdict, Outcome, Stage

VERDICT_SCHEMA = pa.schema(
    [
        pa.field("conversation_id", pa.string(), nullable=False),
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("fell_at", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("judge", pa.string(), nullable=False),
        pa.field("unclear", pa.list_(pa.string()), nullable=False),
    ]
)


def verdict_rows(verdicts: Sequence[FunnelVerdict]) -> list[dict[str, Any]]:
    """One row of `VERDICT_SCHEMA` a verdict."""
    rows = []
    for each in verdicts:
        deciding = next((one for one in each.findings if one.check is each.fell_at), None)
        rows.append(
            {
                "conversation_id": each.conversation_id,
                "question_id": each.question_id,
                "kept": each.kept,
                "stage": each.stage,
                "fell_at": each.fell_at,
                "reason": each.reason,
                "detail": deciding.detail if deciding else "",
                "judge": deciding.judge if deciding else "",
                "unclear": list(each.unclear),
            }
        )
    return rows


def funnel_rows(verdicts: Sequence[FunnelVerdict]) -> list[dict[str, Any]]:
    """One row a check: what came to it, fell there and went on, and how much of that is unclear."""
    rows: list[dict[str, Any]] = []
    left = len(verdicts)
    for check in Check:
        made = [one for each in verdicts for one in each.findings if one.check is check]
        if not made:
            continue
        fell = sum(each.fell_at is check for each in verdicts)
        rows.append(
            {
                "stage": check.stage.value,
                "check": check.value,
                "in": left,
                "fell": fell,
                "unclear": sum(one.outcome is Outcome.UNCLEAR for one in made),
                "out": left - fell,
            }
        )
        left -= fell
    return rows


def reason_rows(verdicts: Sequence[FunnelVerdict]) -> list[dict[str, Any]]:
    """One row a reason that something fell for, in the order of the checks."""
    counts = Counter((each.fell_at, each.reason) for each in verdicts if each.fell_at)
    order = list(Check)
    return [
        {"stage": check.stage.value, "check": check.value, "reason": reason, "number": number}
        for (check, reason), number in sorted(
            counts.items(), key=lambda item: (order.index(item[0][0]), -item[1])
        )
    ]


def funnel_chart(verdicts: Sequence[FunnelVerdict]) -> str:
    """The funnel as a Mermaid flow chart: stages downwards, what fell to the side, by reason."""
    lines = ["flowchart TD", f"    start[{len(verdicts)} trajectories]"]
    before, left = "start", len(verdicts)
    for stage in Stage:
        fell = Counter(str(each.reason) for each in verdicts if each.stage is stage)
        left -= fell.total()
        lines.append(f"    {before} --> {stage}[{stage}: {left} left]")
        if fell:
            shown = "<br>".join(f"{reason} {number}" for reason, number in fell.most_common())
            lines.append(f'    {before} -.-> not_{stage}["{shown}"]')
        before = stage.value
    return "\n".join(lines) + "\n"
