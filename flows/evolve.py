"""The self-evolution loop: base → cold start → iterations, with promotion and rollback.

Map of the flows: `evolve` (here) → `iteration` (`flows.iteration`) → the stages (`flows.stages`).
`flows.promotion` says what becomes of a candidate, `flows.config` and `flows.profiles` hold the
configuration, `flows.prefect_runtime` what a run needs of Prefect, `flows.report` the run's record
and document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from prefect import flow, runtime
from prefect.logging import get_run_logger
from pydantic import Field

from agents.errors import UsageError
from flows.cancellation import cancel_children
from flows.config import EvolutionConfig
from flows.dispatch import perform
from flows.form import ConfigParameter, config_last
from flows.iteration import iteration
from flows.prefect_runtime import prefect_session, require_named_server, without_heartbeat
from flows.profiles import with_settings
from flows.promotion import Force, Standing, advance, forced_iterations
from flows.report import RunReport
from flows.stages import benchmark, closed_book, cold_start, construct, filter_, sft
from flows.standings import StandingLog, course_of
from tasks.artifacts import ArtifactStore
from tasks.config import StageContext
from tasks.construct import check_inputs
from tasks.heavy.run import start_heavy, stop_heavy
from tasks.runs import RunLog, utc_now


def run_evolution(
    config: EvolutionConfig,
    name: str | None = None,
    no_reuse: bool = False,
    redo: Sequence[str] = (),
    verbose: bool = False,
    force_promote: Force = (),
    further_iterations: int | None = None,
) -> dict[str, Any]:
    """Runs the loop, or goes on with it where the run of this name was interrupted.

    Args:
        config: The configuration.
        name: Name of the run; None: derived from profile and configuration, so that the same
            call resumes the same run.
        no_reuse: Compute every stage again.
        redo: Stages to compute again (`rollout`, `sft`, …).
        verbose: Show Prefect's own log lines.
        force_promote: Iterations, or `all`, whose candidate is promoted whatever the gate says.
        further_iterations: Go on from the last promoted policy with so many iterations beyond
            those that the run has finished; None: `config.iterations` in all.

    Returns:
        The run's document: run, profile, iterations (base, cold start, iterations; each with
        name, iteration, policy, promoted, forced, compared_with, gate, benchmarks and average),
        stages (those of this call, in order; each with stage, iteration, subject, status, reused
        and wall_s) and wall_s, the seconds of all calls for this run; `stopped` gives the reason
        where the stop rule ended the run early.

    Raises:
        UsageError: Something asked for is unknown.
        EvolveSearchError: A stage failed; the same call goes on from there.
    """
    # What is wrong with the call is said before anything is started.
    context = run_context(config, name, no_reuse, redo)
    course = course_of(config, context.run, further_iterations)
    forced = forced_iterations(force_promote, course.last, course.first)
    check_inputs(config)
    if config.execution.mode == "dispatch":
        require_named_server()
    is_done = further_iterations is None and _is_done(config, context.run)
    if config.execution.mode == "inline" and not is_done:
        # Both take seconds to start and wait for nothing: let them start side by side.
        start_heavy()
    try:
        with prefect_session(verbose):
            return evolve(
                config,
                name=name or "",
                redo=_stages_of(redo),
                no_reuse=no_reuse,
                force_promote=forced,
                further_iterations=further_iterations,
            )
    finally:
        stop_heavy()


def _is_done(config: EvolutionConfig, run: str) -> bool:
    """Whether the run has finished before; then it most likely computes nothing."""
    record = RunLog(ArtifactStore.open(config.store).objects).run(run)
    return record is not None and record.status == "done"


def run_context(
    config: EvolutionConfig,
    name: str | None,
    no_reuse: bool = False,
    redo: Sequence[str] = (),
    iteration: int = 0,
) -> StageContext:
    """The context of a run or of one stage alone.

    Raises:
        UsageError: A stage to compute again is unknown, or the name cannot name a run.
    """
    stages = _stages_of(redo)
    if name is not None and not RunLog.is_name(name):
        raise UsageError(
            f"run name {name!r}: expected letters, digits, '.', '_' and '-', at most 80"
        )
    return StageContext(
        run=config.default_run_name if name is None else name,
        iteration=iteration,
        redo=("all",) if no_reuse else stages,
        fresh_since=utc_now(),
    )


def _stages_of(redo: Sequence[str]) -> tuple[StageName, ...]:
    known = {stage.replace("-", "_") for stage in redo}
    unknown = sorted(known - set(STAGES))
    if unknown:
        raise UsageError(f"unknown stage {unknown[0]!r}; expected one of {', '.join(STAGES)}")
    return tuple(stage for stage in STAGES if stage in known)


StageName = Literal[
    "construct",
    "closed_book",
    "cold_start",
    "rollout",
    "filter",
    "sft",
    "rl",
    "gate",
    "benchmark",
]

STAGES: tuple[StageName, ...] = get_args(StageName)
"""Names of the stages, as their records and `--redo` call them."""

NO_SETTINGS: dict[str, Any] = {}
"""Default of settings: Prefect's form cannot fill in an object that may be None."""


def _flow_run_name() -> str:
    parameters: dict[str, Any] = runtime.flow_run.parameters
    profile = EvolutionConfig.model_validate(parameters["config"]).profile
    return f"evolve {parameters.get('name') or profile}"


@config_last
@flow(
    name="evolve",
    flow_run_name=_flow_run_name,
    on_failure=[cancel_children],
    on_crashed=[cancel_children],
    on_cancellation=[cancel_children],
)
def evolve(
    config: ConfigParameter,
    name: str = "",
    settings: dict[str, Any] = NO_SETTINGS,
    redo: tuple[StageName, ...] = (),
    no_reuse: bool = False,
    force_promote: tuple[Annotated[int, Field(ge=1)], ...] = (),
    further_iterations: Annotated[int, Field(ge=1)] | None = None,
) -> dict[str, Any]:
    """Evolves a search agent: base policy, cold start, then iterations on its own rollouts.

    A run of the same name goes on where it was interrupted. A candidate that the gate does not
    promote is rolled back: the run goes on from the best policy so far.

    Args:
        config: The configuration of the run, section by section.
        name: Name of the run in the store (not of the flow run); a known one resumes that run.
            Empty: derived from profile and configuration.
        settings: Values on top of the configuration by dotted key, such as {"rl.num_steps": 3}.
        redo: Stages to compute again although what they made is there.
        no_reuse: Compute every stage again.
        force_promote: Iterations whose candidate is promoted whatever the gate says.
        further_iterations: Go on from the run's last promoted policy with so many iterations
            beyond those that it has finished; empty: as many in all as the configuration says.
    """
    config = with_settings(config, settings)
    context = run_context(config, name or None, no_reuse, redo)
    course = course_of(config, context.run, further_iterations)
    forced = forced_iterations(force_promote, course.last, course.first)
    check_inputs(config)
    standings = StandingLog(ArtifactStore.open(config.store).objects, context.run)
    reached = course.reached
    # The record says how far the run was to go, so that `resume` goes on to there.
    to_the_end = config.model_copy(update={"iterations": course.last})
    with RunReport(to_the_end, context, reached.policies if reached else ()) as report:
        if reached is None:
            standing = _begin(config, context, report)
            standings.save(0, standing, report.policies)
        else:
            standing = reached.standing
        for number in range(course.first, course.last + 1):
            if config.stop_after_failures and standing.failures >= config.stop_after_failures:
                reason = f"{standing.failures} iterations in a row were not promoted"
                get_run_logger().warning("stopped: %s", reason)
                report.stop(reason)
                break
            of_iteration = context.model_copy(update={"iteration": number})
            with without_heartbeat():
                result = iteration(config, of_iteration, standing)
            promoted = report.settle(number, result, forced=number in forced)
            standing = advance(standing, result, forced=promoted)
            standings.save(number, standing, report.policies)
        return report.document()


def _begin(config: EvolutionConfig, context: StageContext, report: RunReport) -> Standing:
    """Base policy and cold start: everything before the first iteration."""
    base_context = context.model_copy(update={"subject": "base"})
    made = perform(construct, config, context)
    questions, base = made["questions"], made["policy"]
    if config.closed_book.attempts:
        known = perform(closed_book, config, context, questions=questions, policy=base)
        questions = known.get("questions", questions)
    scored = perform(benchmark, config, base_context, questions=questions, policy=base)
    report.add("base", base, True, scored["benchmarks"])
    if not config.cold_start.enabled:
        return Standing(questions=questions, base=base, current=base, best=base)
    made = perform(cold_start, config, context, questions=questions, policy=base)
    built = made["trajectories"]
    filtered = perform(filter_, config, context, questions=questions, trajectories=built)
    examples = filtered["sft_examples"]
    tuned = perform(sft, config, context, policy=base, examples=examples)
    current = tuned.get("policy", base)
    cold_context = context.model_copy(update={"subject": "cold start"})
    scored = perform(benchmark, config, cold_context, questions=questions, policy=current)
    report.add("cold start", current, "policy" in tuned, scored["benchmarks"])
    return Standing(questions=questions, base=base, current=current, best=current, cold_start=built)
