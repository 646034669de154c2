"""One iteration of self-evolution: rollout → filter → SFT → RL → gate → benchmark.

With `rollout.source = "rl"` the filter reads what the iteration before recorded inside RL, which is
EvolveSearch's own order (arXiv 2505.22501): the first iteration, which has nothing to read, is RL
alone, and n iterations are n rounds of RL with n - 1 rounds of SFT between them.
"""

from __future__ import annotations

from typing import Any

from prefect import flow, runtime
from prefect.logging import get_run_logger

from evaluation.gate import GateDecision
from flows.cancellation import cancel_children
from flows.config import EvolutionConfig
from flows.dispatch import perform
from flows.form import ConfigParameter, config_last
from flows.promotion import IterationResult, Standing
from flows.stages import benchmark, filter_, rl, rollout, sft
from tasks.artifacts import ArtifactStore
from tasks.benchmark import gate_decision
from tasks.config import StageContext
from tasks.references import resolve
from tasks.schemas import POLICIES


def _flow_run_name() -> str:
    parameters: dict[str, Any] = runtime.flow_run.parameters
    context = StageContext.model_validate(parameters["context"])
    return f"iteration {context.iteration}"


@config_last
@flow(
    name="iteration",
    flow_run_name=_flow_run_name,
    on_failure=[cancel_children],
    on_crashed=[cancel_children],
    on_cancellation=[cancel_children],
)
def iteration(
    config: ConfigParameter, context: StageContext, standing: Standing
) -> IterationResult:
    """Makes a candidate policy from the current one's own filtered rollouts, and judges it.

    The candidate is benchmarked whether it is promoted or not: the table of a run shows every
    policy that it made, and the gate has asked other questions.

    Args:
        config: The configuration of the run.
        context: Run and iteration.
        standing: Where the run stands.
    """
    logger = get_run_logger()
    questions = standing.questions
    candidate, rewards = _exploit(config, context, standing)
    recorded = None
    if config.rl.enabled:
        explored = perform(
            rl,
            config,
            context,
            questions=questions,
            policy=candidate,
            rewards=rewards,
            cold_start=standing.cold_start,
        )
        candidate, recorded = explored["policy"], explored["trajectories"]
    candidate = _known(config, standing, candidate)
    compared_with, decision = _judge(config, context, standing, candidate)
    verdict = "promotes" if decision.promoted else "does not promote"
    logger.info("the gate %s the candidate: %s", verdict, decision.reason)
    subject = context.model_copy(update={"subject": ""})
    scored = perform(benchmark, config, subject, questions=questions, policy=candidate)
    return IterationResult(
        candidate=candidate,
        decision=decision,
        compared_with=compared_with,
        benchmarks=scored["benchmarks"],
        rl_trajectories=recorded,
    )


def _exploit(
    config: EvolutionConfig, context: StageContext, standing: Standing
) -> tuple[str, str | None]:
    """Fine-tunes on filtered rollouts: the policy, and the rewards of what was filtered.

    Where nothing was kept, or where RL has recorded nothing yet, there is nothing to learn from:
    the current policy stays as it is.
    """
    questions = standing.questions
    if config.rollout.source == "rl":
        if standing.rl_trajectories is None:
            return standing.current, None
        trajectories = standing.rl_trajectories
    else:
        sampled = perform(
            rollout,
            config,
            context,
            questions=questions,
            policy=standing.current,
            cold_start=standing.cold_start,
        )
        trajectories = sampled["trajectories"]
    filtered = perform(filter_, config, context, questions=questions, trajectories=trajectories)
    start = standing.base if config.sft.start_from == "base" else standing.current
    examples = filtered["sft_examples"]
    tuned = perform(sft, config, context, policy=start, examples=examples)
    return tuned.get("policy", standing.current), filtered["rewards"]


def _known(config: EvolutionConfig, standing: Standing, candidate: str) -> str:
    """The reference that the run knows a policy by, where its weights are none of a new policy.

    RL without a group to learn from leaves the weights as they are.
    """
    store = ArtifactStore.open(config.store)
    digest = resolve(store, POLICIES, candidate).digest
    known = (standing.current, standing.best)
    same = [policy for policy in known if resolve(store, POLICIES, policy).digest == digest]
    return same[0] if same else candidate


def _judge(
    config: EvolutionConfig, context: StageContext, standing: Standing, candidate: str
) -> tuple[str, GateDecision]:
    """Has the gate compare the candidate: the policy that it was compared with, and the decision.

    A gate that is off asks no questions, and a candidate that is no new policy needs none.
    """
    if candidate in (standing.current, standing.best):
        return "", GateDecision(False, "the iteration changed nothing")
    if config.gate.rule == "off":
        return "", GateDecision(True, "the gate is off", config.gate.rule)
    answers = {}
    for subject, policy in (("best", standing.best), ("candidate", candidate)):
        of_subject = context.model_copy(update={"subject": subject})
        answers[subject] = perform(
            benchmark, config, of_subject, questions=standing.questions, policy=policy, gate=True
        )
    decision = gate_decision(config, answers["best"]["answers"], answers["candidate"]["answers"])
    return standing.best, decision
