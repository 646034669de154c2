"""The stages as Prefect flows: each runs alone, with a configuration and references to artifacts.

A stage reads and writes artifacts of the store; what it returns are references to them. The work
itself is in `tasks`, one module a stage.
"""

from __future__ import annotations

from typing import Any

from prefect import Task, flow, runtime
from prefect.logging import get_run_logger

from flows.form import ConfigParameter, config_last
from tasks.benchmark import score_policy
from tasks.closed_book import find_known
from tasks.cold_start import build_trajectories
from tasks.config import StageContext
from tasks.construct import construct_inputs
from tasks.filter import filter_stage
from tasks.prefect_artifacts import publish_benchmarks
from tasks.prefect_funnel import publish_funnel
from tasks.prefect_samples import publish_answer_samples, publish_rollout_samples
from tasks.references import reference_of
from tasks.rl import reinforce
from tasks.rollout import roll_out, roll_out_part
from tasks.sft import fine_tune
from tasks.stage import StageOutcome

References = dict[str, str]
"""References to the artifacts that a stage made, by name; empty where it was skipped."""


def run_name_of(stage: str, context: StageContext) -> str:
    """Name of a stage's flow run: `benchmark base`, `rollout 2`."""
    subject = context.subject or (str(context.iteration) if context.iteration else "")
    return f"{stage} {subject}".strip()


def _flow_run_name() -> str:
    parameters: dict[str, Any] = runtime.flow_run.parameters
    context = StageContext.model_validate(parameters["context"])
    stage = str(runtime.flow_run.flow_name)
    return run_name_of("gate" if parameters.get("gate") else stage, context)


def _part_run_name() -> str:
    parameters: dict[str, Any] = runtime.flow_run.parameters
    context = StageContext.model_validate(parameters["context"])
    which = f"part {parameters.get('part', 1)} of {parameters.get('parts', 1)}"
    return f"{run_name_of('rollout', context)}, {which}"


@config_last
@flow(name="construct", flow_run_name=_flow_run_name)
def construct(config: ConfigParameter, context: StageContext) -> References:
    """Makes the web, the questions and the base policy.

    Args:
        config: The configuration of the run.
        context: Run and iteration.
    """
    return _report(construct_inputs(config, context))


@config_last
@flow(name="closed-book", flow_run_name=_flow_run_name)
def closed_book(
    config: ConfigParameter, context: StageContext, questions: str, policy: str
) -> References:
    """Finds the training questions that a policy answers without any tool.

    Args:
        config: The configuration of the run.
        context: Run and iteration.
        questions: Reference of the questions.
        policy: Reference of the policy.
    """
    return _report(find_known(config, context, questions, policy))


@config_last
@flow(name="cold-start", flow_run_name=_flow_run_name)
def cold_start(
    config: ConfigParameter, context: StageContext, questions: str, policy: str
) -> References:
    """Builds trajectories from known chains.

    Args:
        config: The configuration of the run.
        context: Run and iteration.
        questions: Reference of the questions.
        policy: Reference of the base policy, for its tokenizer.
    """
    return _report(build_trajectories(config, context, questions, policy))


@config_last
@flow(name="rollout", flow_run_name=_flow_run_name)
def rollout(
    config: ConfigParameter,
    context: StageContext,
    questions: str,
    policy: str,
    cold_start: str | None = None,
) -> References:
    """Samples several trajectories of each question of the iteration's part.

    Args:
        config: The configuration of the run.
        context: Run and iteration.
        questions: Reference of the questions.
        policy: Reference of the policy that samples.
        cold_start: Reference of the cold start's trajectories, whose questions are left out.
    """
    return _report(roll_out(config, context, questions, policy, cold_start))


@config_last
@flow(name="rollout-part", flow_run_name=_part_run_name)
def rollout_part(
    config: ConfigParameter,
    context: StageContext,
    questions: str,
    policy: str,
    cold_start: str | None = None,
    part: int = 1,
    parts: int = 1,
) -> None:
    """Samples a part of a rollout stage's trajectories; the stage itself then finds them done.

    Args:
        config: The configuration of the run.
        context: Run and iteration.
        questions: Reference of the questions.
        policy: Reference of the policy that samples.
        cold_start: Reference of the cold start's trajectories, whose questions are left out.
        part: Which part, from 1.
        parts: How many parts there are.
    """
    roll_out_part(config, context, questions, policy, cold_start, part, parts)


@config_last
@flow(name="filter", flow_run_name=_flow_run_name)
def filter_(
    config: ConfigParameter, context: StageContext, questions: str, trajectories: str
) -> References:
    """Rewards trajectories and keeps the best as training examples.

    Args:
        config: The configuration of the run.
        context: Run and iteration.
        questions: Reference of the questions, for the right answers.
        trajectories: Reference of the trajectories.
    """
    references = _report(filter_stage(config, context, questions, trajectories))
    publish_funnel(config, context, references["verdicts"])
    publish_rollout_samples(config, context, references["verdicts"])
    return references


@config_last
@flow(name="sft", flow_run_name=_flow_run_name)
def sft(config: ConfigParameter, context: StageContext, policy: str, examples: str) -> References:
    """Fine-tunes a policy on kept trajectories; skipped where there are none.

    Args:
        config: The configuration of the run.
        context: Run and iteration.
        policy: Reference of the policy to start from.
        examples: Reference of the SFT examples.
    """
    return _report(fine_tune(config, context, policy, examples))


@config_last
@flow(name="rl", flow_run_name=_flow_run_name)
def rl(
    config: ConfigParameter,
    context: StageContext,
    questions: str,
    policy: str,
    rewards: str | None = None,
    cold_start: str | None = None,
) -> References:
    """Trains a policy by reinforcement learning and records its rollouts.

    Args:
        config: The configuration of the run.
        context: Run and iteration.
        questions: Reference of the questions.
        policy: Reference of the policy to start from.
        rewards: Reference of the rewards of this iteration's rollouts, which say what questions
            it can learn from.
        cold_start: Reference of the cold start's trajectories, whose questions are left out.
    """
    return _report(reinforce(config, context, questions, policy, rewards, cold_start))


@config_last
@flow(name="benchmark", flow_run_name=_flow_run_name)
def benchmark(
    config: ConfigParameter,
    context: StageContext,
    questions: str,
    policy: str,
    gate: bool = False,
) -> References:
    """Scores a policy on the held-out benchmarks, or on the gate's questions.

    Args:
        config: The configuration of the run.
        context: Run and iteration.
        questions: Reference of the questions.
        policy: Reference of the policy.
        gate: Whether to ask the gate's questions instead of the benchmarks'.
    """
    references = _report(score_policy(config, context, questions, policy, gate))
    publish_benchmarks(config, context, references["benchmarks"], gate=gate)
    if not gate:
        publish_answer_samples(config, context, references["answers"])
    return references


ADAPTERS: dict[str, Task[..., StageOutcome]] = {
    "construct": construct_inputs,
    "closed-book": find_known,
    "cold-start": build_trajectories,
    "rollout": roll_out,
    "filter": filter_stage,
    "sft": fine_tune,
    "rl": reinforce,
    "benchmark": score_policy,
}
"""What runs a stage, by the name of its flow."""


def _report(outcome: StageOutcome) -> References:
    logger = get_run_logger()
    if not outcome.artifacts:
        logger.warning("skipped: there was nothing to do")
    elif outcome.reused:
        logger.info("reused what an earlier run made")
    for name, value in outcome.metrics.items():
        logger.info("%s: %.4g", name, value)
    return {name: reference_of(ref) for name, ref in outcome.artifacts.items()}
