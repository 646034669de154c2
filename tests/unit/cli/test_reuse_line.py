"""What the closing lines of a run say about stages that were there already."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.cli.run import _reuse


def stage(name: str, reused: bool, iteration: int = 0, **changes: Any) -> dict[str, Any]:
    row = {"stage": name, "iteration": iteration, "subject": "", "status": "done", "wall_s": 1.0}
    return {**row, "reused": reused, **changes}


BASE = stage("benchmark", True, subject="base")


@pytest.mark.parametrize(
    ("stages", "line"),
    [
        ([BASE, stage("sft", True)], "Reused all 2 stages"),
        ([stage("construct", False)], "Computed all 1 stages"),
        (
            [BASE, stage("cold_start", False), stage("rollout", False, 2)],
            "Reused 1 of 3 stages; computed cold start, rollout 2",
        ),
        ([BASE, stage("sft", False, status="skipped")], "Reused all 1 stages"),
        ([stage("gate", False, 1, subject="current"), BASE],
         "Reused 1 of 2 stages; computed gate current"),
    ],
)  # fmt: skip
def test_it_counts_and_names(stages: list[dict[str, Any]], line: str) -> None:
    assert _reuse(stages) == line
