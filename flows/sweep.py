"""A sweep: one run of the loop for each point of a grid or list of settings, compared at the end.

`flows.sweep_members` makes the members, `flows.sweep_report` compares them. Members that are done
are taken from the store, and one that fails leaves the others alone, so that the same sweep again
makes what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from prefect import flow, runtime
from prefect.logging import get_run_logger
from pydantic import Field

from agents.errors import StageError, UsageError
from agents.progress import progress
from flows.cancellation import cancel_children
from flows.config import EvolutionConfig
from flows.evolve import NO_SETTINGS, evolve
from flows.form import ConfigParameter, config_last
from flows.prefect_runtime import prefect_session, require_named_server, without_heartbeat
from flows.profiles import with_settings
from flows.sweep_dispatch import dispatched_members
from flows.sweep_members import Grid, Member, sweep_members
from flows.sweep_report import SweepReport
from tasks.construct import check_inputs
from tasks.heavy.run import stop_heavy
from tasks.sweep_rows import settings_text

DEPLOYMENT = "evolve/laptop"
"""Deployment that members are sent to where none is named; any of `evolve` runs any settings."""


def run_sweep(
    config: EvolutionConfig,
    grid: Grid | None = None,
    configs: Sequence[Mapping[str, Any]] | None = None,
    name: str = "sweep",
    max_concurrent: int = 1,
    deployment: str = DEPLOYMENT,
    verbose: bool = False,
) -> dict[str, Any]:
    """Runs a sweep, or goes on with it where the one of this name was interrupted.

    Args:
        config: What all members share.
        grid: Values to try by dotted key, in all combinations.
        configs: Settings by dotted key, a mapping a member; with a grid, each at all its points.
        name: Name of the sweep; its members' runs are named after it.
        max_concurrent: Members that run at once, where workers run them.
        deployment: Deployment of `evolve` that members are sent to, where workers run them.
        verbose: Show Prefect's own log lines.

    Returns:
        The sweep's document: sweep, members (number, run, settings, seed, status, error, reused,
        wall_s, policy, policy_name, benchmarks, average, ci_low, ci_high, gate_accuracy and
        difference), best (None where nothing was measured), failed (names of runs) and wall_s.

    Raises:
        UsageError: Something asked for is unknown, or there is nothing to vary.
        StageError: Every member failed.
    """
    checked_members(config, name, grid, configs, max_concurrent)
    if config.execution.mode == "dispatch":
        require_named_server()
    try:
        with prefect_session(verbose):
            return sweep(
                config,
                grid={key: list(values) for key, values in (grid or {}).items()},
                configs=tuple(dict(each) for each in configs or ()),
                name=name,
                max_concurrent=max_concurrent,
                deployment=deployment,
            )
    finally:
        stop_heavy()


def checked_members(
    config: EvolutionConfig,
    name: str,
    grid: Grid | None,
    configs: Sequence[Mapping[str, Any]] | None,
    max_concurrent: int = 1,
) -> list[Member]:
    """The members of a sweep; whatever is wrong with one is said before any is started.

    Raises:
        UsageError: As `sweep_members` says; or a member's input is missing, or members of one
            process are to run at once.
    """
    members = sweep_members(config, name, grid, configs)
    if config.execution.mode == "inline" and max_concurrent > 1:
        raise UsageError(
            f"max_concurrent is {max_concurrent}, but execution.mode is 'inline': members of one "
            "process run one after the other; set execution.mode=dispatch for workers"
        )
    for member in members:
        check_inputs(member.config)
    return members


def _flow_run_name() -> str:
    parameters: dict[str, Any] = runtime.flow_run.parameters
    return f"sweep {parameters.get('name') or 'sweep'}"


@config_last
@flow(
    name="sweep",
    flow_run_name=_flow_run_name,
    on_failure=[cancel_children],
    on_crashed=[cancel_children],
    on_cancellation=[cancel_children],
)
def sweep(
    config: ConfigParameter,
    grid: dict[str, list[Any]] = NO_SETTINGS,
    configs: tuple[dict[str, Any], ...] = (),
    name: str = "sweep",
    settings: dict[str, Any] = NO_SETTINGS,
    max_concurrent: Annotated[int, Field(ge=1)] = 1,
    deployment: str = DEPLOYMENT,
) -> dict[str, Any]:
    """Runs the loop once for each point of a grid or list of settings, and compares the runs.

    A member that fails leaves the others alone; the sweep fails only if all do. The same sweep
    again makes what is missing. One artifact compares the members and names the best policy.

    Args:
        config: The configuration that all members share.
        grid: Values to try by dotted key, in all combinations, such as
            {"rl.learning_rate": [1e-5, 2e-5], "seed": [0, 1]}.
        configs: Settings by dotted key, one mapping a member, such as [{"rl.enabled": false}];
            with a grid, each of them at each of its points.
        name: Name of the sweep; its members' runs are named after it, which resumes them.
        settings: Values on top of the configuration by dotted key, for all members.
        max_concurrent: Members that run at once where workers run them (execution.mode=dispatch).
        deployment: Deployment of evolve that members are sent to where workers run them.
    """
    config = with_settings(config, settings)
    members = checked_members(config, name, grid, configs, max_concurrent)
    report = SweepReport(config, name, members)
    logger = get_run_logger()
    left = report.find_done(members)
    with progress(f"Sweep {name}", len(members), "runs") as bar:
        bar.update(len(members) - len(left))
        by_workers = config.execution.mode == "dispatch"
        for member, error in (
            dispatched_members(config, left, deployment, max_concurrent)
            if by_workers
            else _inline(left)
        ):
            row = report.settle(member, error)
            bar.advance(detail=settings_text(member.settings))
            logger.info("%s: %s%s", member.run, row.status, error and f": {error}")
    document = report.document()
    if len(document["failed"]) == len(members):
        first = document["members"][0]
        raise StageError(
            f"all {len(members)} runs of sweep {name} failed, the first with: {first['error']}"
        )
    return document


def _inline(members: Sequence[Member]) -> Iterator[tuple[Member, str]]:
    """Runs members in this process, one after the other; yields each with its error, if any."""
    for member in members:
        try:
            with without_heartbeat():
                evolve(member.config, name=member.run)
        except Exception as error:
            # Its flow run has the traceback; the other members are none the worse for it.
            yield member, " ".join(str(error).split()) or type(error).__name__
        else:
            yield member, ""
