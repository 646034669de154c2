"""Flows of the fault tests: a run of one stage, with a real run's hooks, record and dispatch."""

from __future__ import annotations

from typing import Any

from prefect import flow
from waiting_stage import wait_for_word

from flows.config import EvolutionConfig
from flows.dispatch import perform
from flows.evolve import evolve, run_context
from flows.report import RunReport
from flows.stages import ADAPTERS
from tasks.config import StageContext
from tasks.references import reference_of
from tasks.stage_task import stage_task

adapter = stage_task("wait for a word")(wait_for_word)
ADAPTERS["waiting"] = adapter


@flow(name="waiting")
def waiting(config: EvolutionConfig, context: StageContext) -> dict[str, str]:
    """Waits for the word of its store."""
    made = adapter(config, context).artifacts
    return {name: reference_of(ref) for name, ref in made.items()}


@flow(
    name="waiting-run",
    on_failure=evolve.on_failure_hooks,
    on_crashed=evolve.on_crashed_hooks,
    on_cancellation=evolve.on_cancellation_hooks,
)
def waiting_run(config: EvolutionConfig, name: str) -> dict[str, Any]:
    """Runs the one stage, where the configuration says."""
    context = run_context(config, name)
    with RunReport(config, context) as report:
        perform(waiting, config, context)
        return report.document()
